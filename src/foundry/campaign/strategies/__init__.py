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

from foundry.core.errors import FoundryError, RequestError

Trial = dict[str, Any]
"""As a round records it: word, by, status, reason, gain, share, flops, …"""
Asked = dict[str, Any]
"""What became of asking somebody else, as a round records it: by, tries, requests, tokens, failed, refused, filled_by.
"""
ASKING = {
    "command": "--command ./ask.sh",
    "llm": "--llm-model qwen3:8b --llm-url http://127.0.0.1:11434/v1",
}
"""Strategies that ask somebody else, and how they are told whom."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Whom a strategy asks, and how long and how often it may. None of it is a secret: a key is in a file."""

    command: str = ""
    pass_env: tuple[str, ...] = ()
    llm_model: str = ""
    llm_url: str = ""
    llm_key_file: Path | None = None
    llm_requests: int = 200
    llm_tokens: float = 2e6
    seconds: float = 120.0

    def check(self, strategy: str) -> None:
        """Raises RequestError where it says whom to ask and the strategy asks nobody, or another; or the reverse."""
        given = {"--command": self.command, "--llm-model": self.llm_model, "--llm-url": self.llm_url}
        for option, value in given.items():
            own = option.startswith(f"--{strategy}")
            if value and not own:
                message, hint = f"'{strategy}' asks nobody so", f"--strategy {option[2:].partition('-')[0]}"
                raise RequestError("strategy.asks_nobody", option, message, hint=hint)
            if own and not value:
                message = f"'{strategy}' has to be told whom to ask"
                raise RequestError("strategy.whom", option, message, hint=ASKING[strategy])


NOBODY = Ask()


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
    whether it fits and changes something, so that it is worth stacking; `refusal`: why a word doesn't fit; `recipe`:
    what is changed, as plain data."""

    words: Sequence[str]
    is_new: Callable[[str], bool]
    rng: Random
    changes: Callable[[str], bool] = lambda word: True
    refusal: Callable[[str], FoundryError | None] = lambda word: None
    recipe: Callable[[], dict[str, Any]] = dict


class Strategy(ABC):
    """Abstract: a file's `make()` gives a final one."""

    name: str
    roams: bool = False
    """Whether, once anything is known, it is asked no more, and stacks near the best so far are weighed instead."""
    whom: Ask = NOBODY
    asked: Asked | None = None
    """Of one that asks somebody else: what became of that, the last time."""

    @abstractmethod
    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        """Up to `n` different new proposals; fewer, or none, when there is nothing left that it would try."""

    def tell(self, trial: Trial) -> None:  # noqa: B027 (grid and random listen to nobody)
        """What became of a candidate, whoever proposed it."""

    def reward(self, by: str, gain: float) -> None:  # noqa: B027
        """A certified gain, in bits per byte, that rests on moves which `by` proposed."""

    def recall(self, asked: Asked | None) -> None:  # noqa: B027
        """What a round on record asked of somebody else; None: a command begins, and with it what it may ask."""


def names() -> list[str]:
    """Every strategy there is."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if not file.stem.startswith("_"))


def make(name: str, whom: Ask = NOBODY) -> Strategy:
    """Raises RequestError for one that isn't there, whose library isn't installed, or that doesn't know whom to ask."""
    if name not in names():
        raise RequestError("strategy.unknown", "--strategy", f"no strategy '{name}'", got=name, choices=names())
    whom.check(name)
    module = importlib.import_module(f"{__name__}.{name}")
    return module.make(whom) if name in ASKING else module.make()
