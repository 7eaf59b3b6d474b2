"""Where a campaign's runs happen, as its logic sees it: real (live_environment.py), a recorded table, a simulation.

Everything that the campaign decides is a pure function of what an `Environment` and a `Certifier` answer and of a
seed, so that the same logic drives real training and thousands of replays a minute. May not: import anything heavy, or
decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Point = str
"""The identity of one recipe (its fingerprint); opaque to the campaign. Equal points are the same recipe."""

FULL = 1.0
Pair = tuple[float | None, float | None]
"""What champion and candidate have on one seed, in bits per byte; None: that run failed."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One complete run: `point` with `seed`, on the full budget.

    Runs with the same seed are a pair. On the validation split a seed is a number from which
    the real field draws one; those of a replay's court lie beyond all of these (court.py).
    """

    point: Point
    seed: int
    split: str = "validation"


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What became of it: a score in bits per byte, or the reason why there is none (core.errors.REASONS); never both.

    flops: what the run cost when it was trained, failed or not; the campaign charges itself once for each run.
    """

    bpb: float | None
    flops: float
    reason: str | None = None
    detail: str = ""


class Environment(Protocol):
    """What can be tried, and what comes out of it."""

    def mutations(self, base: Point) -> Sequence[str]:
        """The words (`family:variant`) that may be proposed for `base`, each by itself; strategies stack them."""
        ...

    def apply(self, base: Point, word: str) -> Point:
        """`base` with the mutation `word`; `base` itself when nothing changes. Raises FoundryError where it doesn't
        fit."""
        ...

    def content(self, base: Point) -> dict[str, Any]:
        """The recipe as plain data; nothing where a point is none."""
        ...

    def gather(self, wanted: Sequence[RunRequest]) -> list[RunOutcome]:
        """The outcomes in the order asked, trained side by side where need be. The same again is the same at once."""
        ...


@dataclass(frozen=True, slots=True)
class Ruling:
    """A certification's end. word: a verdict's (`better`, `not_better`, `underpowered`, `rejected`, `incomparable`);
    effect_bpb: of its pairs, which flatter what they found better; flops, runs: what it took."""

    word: str
    effect_bpb: float | None
    interval_bpb: tuple[float, float] | None
    n: int
    runs: int
    flops: float
    id: str = ""
    """Of the verdict, where it is kept."""
    promotion: str = ""
    """Of the promotion that followed, where it is kept."""
    promoted: Point = ""
    """The champion that came of it, where that isn't the candidate as it was asked about: it carries the budget that it
    was judged with."""
    validation: tuple[Pair, ...] = ()
    """Of the pairs that decided, on the validation split; empty where that isn't known."""

    @property
    def better(self) -> bool:
        return self.word == "better"


def ruling(verdict: dict[str, Any]) -> Ruling:
    """Of a verdict's document."""
    second, interval = verdict.get("second_text") or {"n": 0, "flops": 0}, verdict["interval_bpb"]
    return Ruling(
        word=verdict["verdict"],
        effect_bpb=verdict["effect_bpb"],
        interval_bpb=(interval[0], interval[1]) if interval is not None else None,
        n=verdict["n"],
        runs=2 * (verdict["n"] + second["n"]),
        flops=sum(arm["cost"]["flops"] for arm in verdict["arms"]) + second["flops"],
        id=verdict.get("comparison", ""),
    )


class Certifier(Protocol):
    """Decides on fresh seeds under the error budget, and crowns what is better. Its question is asked once: a court
    that was cut off goes on, one that has decided says the same again."""

    def certify(
        self,
        champion: Point,
        candidate: Point,
        name: str,
        noise_bpb: float | None,
        margin_bpb: float = 0.0,
    ) -> Ruling:
        """Is `candidate` better than `champion`; with a margin, not worse by so much? Then it is the champion
        afterwards, and the word is `better`.

        name: the mutations between the two; noise_bpb: the standard deviation of
        a paired difference as screening has it, None where it can't say.
        """
        ...

    def remeasure(self, start: Point, champion: Point, noise_bpb: float | None) -> Ruling:
        """What `champion` gains over `start`, on fresh seeds that nothing was decided by. `better` where every guard
        passes; `incomparable` where it can't be measured; at any other word `start` is the champion again."""
        ...
