"""A field with a known truth: words have effects that add up, runs have noise. For tests and replays of the logic."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from foundry.campaign.environment import FULL, Point, RunOutcome, RunRequest
from foundry.core.errors import RequestError
from foundry.mutate import family_of, words_of

NOISE_BPB = 0.02


class Simulated:
    """effects: word → its gain in bits per byte. A point is the choice of a variant for each family, spelled out."""

    def __init__(self, effects: dict[str, float], seed: int = 0, failing: Sequence[str] = ()) -> None:
        self.effects, self.seed, self.failing = effects, seed, set(failing)
        self.asked: list[RunRequest] = []

    def mutations(self, base: Point) -> list[str]:
        return list(self.effects)

    def apply(self, base: Point, word: str) -> Point:
        choices = dict(part.split(":") for part in base.split("+") if part)
        given = [each.split(":") for each in words_of(word)]
        if len({name for name, _ in given}) < len(given):
            raise RequestError("mutate.conflict", word, "two of one family")
        for name, variant in given:
            if f"{name}:{variant}" not in self.effects:
                raise RequestError("mutate.unknown_variant", word, "no such word")
            choices[name] = variant
        return "+".join(sorted(f"{name}:{variant}" for name, variant in choices.items()))

    def truth(self, point: Point) -> float:
        """True bits per byte."""
        return 3.0 - sum(self.effects[part] for part in point.split("+") if part)

    def content(self, base: Point) -> dict[str, object]:
        return {}

    def gather(self, wanted: Sequence[RunRequest]) -> list[RunOutcome]:
        self.asked += wanted
        return [self._outcome(each) for each in wanted]

    def _outcome(self, each: RunRequest) -> RunOutcome:
        if any(part in self.failing for part in each.point.split("+")):
            return RunOutcome(None, FULL, "nan", "step 3")
        common = Random(f"{self.seed}|{each.seed}|{FULL}").gauss(0.0, NOISE_BPB)
        own = Random(f"{self.seed}|{each.point}|{each.seed}|{FULL}|{each.split}").gauss(0.0, NOISE_BPB / 2**0.5)
        return RunOutcome(self.truth(each.point) + common + own, FULL)


def no_ops(count: int = 30) -> dict[str, float]:
    """Words that change the recipe and not its score."""
    return {f"{name}:{variant}": 0.0 for name in "abcdefghij"[: count // 3] for variant in "123"}


def mixed() -> dict[str, float]:
    """Five words that help by one to three standard deviations of a paired difference, among many that don't."""
    effects = {word: -0.02 * (i % 4) for i, word in enumerate(no_ops())}
    return effects | {"a:2": 0.06, "c:1": 0.04, "d:3": 0.04, "g:2": 0.03, "j:1": 0.02}


def families(words: Sequence[str]) -> set[str]:
    return {family_of(word) for word in words}
