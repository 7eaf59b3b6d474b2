"""Strategies: who proposes what is tried next. One file each; its name is the strategy's name.

A strategy is asked for candidates and told what became of all that was tried, its own and others'. What it keeps is
bounded, and rebuilt by telling it the same again. May not: train, judge, or know where runs happen.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from foundry.core.errors import RequestError

Trial = dict[str, Any]
"""As a round records it: word, by, status, reason, gain, share, flops, …"""


@dataclass(frozen=True, slots=True)
class Proposal:
    """`word`, a mutation of the frontier or a stack of them, that strategy `by` wants tried."""

    word: str
    by: str
    why: str = ""


@dataclass(frozen=True)
class Scene:
    """What a strategy may look at when it is asked. words: each by itself may be proposed; `is_new` says of a word,
    or a stack, whether it fits, changes something, and makes a recipe that was never tried; `changes` says of a word
    whether it fits and changes something, so that it is worth stacking."""

    words: Sequence[str]
    is_new: Callable[[str], bool]
    rng: Random
    changes: Callable[[str], bool] = lambda word: True


class Strategy(ABC):
    """Abstract: a file's `make()` gives a final one."""

    name: str
    roams: bool = False
    """Whether, once anything is known, it is asked no more, and stacks near the best so far are weighed instead."""

    @abstractmethod
    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        """Up to `n` different new proposals; fewer, or none, when there is nothing left that it would try."""

    def tell(self, trial: Trial) -> None:  # noqa: B027 (grid and random listen to nobody)
        """What became of a candidate, whoever proposed it."""

    def reward(self, by: str, gain: float) -> None:  # noqa: B027
        """A certified gain, in bits per byte, that rests on moves which `by` proposed."""


def names() -> list[str]:
    """Every strategy there is."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if not file.stem.startswith("_"))


def make(name: str) -> Strategy:
    """Raises RequestError for one that isn't there, or whose library isn't installed."""
    if name not in names():
        raise RequestError("strategy.unknown", "--strategy", f"no strategy '{name}'", got=name, choices=names())
    return importlib.import_module(f"{__name__}.{name}").make()
