"""The recorded table, and a world made of it for each replay.

A run with a seed that is asked for the first time is a row of the table drawn at random, the same for all recipes, so
that equal seeds are pairs. Two ways to have a truth that no run of a replay can tell it: `drawn`, where the recorded
seeds are the population and the truth is its mean; `disjoint`, where each replay divides the seeds anew into those that
decisions are made on, those that a promotion is measured on again, and those of the truth. The first has no noise of
its own; the second needs a table of many seeds, or what it calls the truth is a mean of few.

A run of an exact no-op (`noop:1`, ..) is another row of the same recipe: fresh noise, no effect. Costs are counted in
full runs: all points cost the same FLOPs, and a rung of a quarter a quarter. May not: train.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Literal, Protocol

import numpy as np

from benchmarks.campaign.court import REMEASURED_FROM
from benchmarks.campaign.factorial import FACTORS
from foundry.campaign.environment import FULL, Point, RunOutcome, RunRequest
from foundry.core.errors import RequestError
from foundry.mutate import words_of

NOOP = "noop"
SHARES = (0.25, FULL)
"""What rungs the table has."""
Kind = Literal["drawn", "disjoint"]
_DIVISION = {"decided on": 0.5, "measured again": 0.2, "truth": 0.3}


@dataclass(frozen=True)
class Space:
    """families: name → its variants. A point is a variant's number for each, as "0.2.1"."""

    families: dict[str, tuple[str, ...]]
    start: Point = ""
    """Where campaigns begin; "" for the first variant of every family."""

    @property
    def baseline(self) -> Point:
        return self.start or ".".join("0" for _ in self.families)

    def words(self, base: Point) -> list[str]:
        """Every variant of every family but those that `base` has."""
        here = [int(number) for number in base.split(".")]
        listed = zip(self.families.items(), here, strict=True)
        return [f"{name}:{each}" for (name, all_), now in listed for i, each in enumerate(all_) if i != now]

    def apply(self, base: Point, word: str) -> Point:
        numbers, names, claimed = base.split("."), list(self.families), set[str]()
        for part in words_of(word):
            name, _, variant = part.partition(":")
            if name not in self.families or variant not in self.families[name]:
                raise RequestError("mutate.unknown_variant", word, got=part)
            if name in claimed:
                raise RequestError("mutate.conflict", word, "two of one family", got=part)
            claimed.add(name)
            numbers[names.index(name)] = str(self.families[name].index(variant))
        return ".".join(numbers)

    def point(self, chosen: dict[str, str]) -> Point:
        return ".".join(str(all_.index(chosen[name])) for name, all_ in self.families.items())

    def variants(self, point: Point) -> dict[str, str]:
        """Family → the variant that `point` has."""
        pairs = zip(self.families.items(), point.split("."), strict=True)
        return {name: all_[int(number)] for (name, all_), number in pairs}

    def word(self, point: Point) -> str:
        """The mutation that leads from the first variants to `point`."""
        numbers = [int(number) for number in point.split(".")]
        pairs = zip(self.families.items(), numbers, strict=True)
        return "+".join(f"{name}:{all_[number]}" for (name, all_), number in pairs if number)


@dataclass(frozen=True)
class Table:
    """scores: (split, share) → [recipes, seeds] in bits per byte, nan for a run that diverged."""

    space: Space
    scores: dict[tuple[str, float], np.ndarray]
    flat: bool = False
    """Every point is an exact no-op of the start: what is ever promoted here is promoted falsely."""

    @classmethod
    def load(cls, path: Path, noops: int) -> Table:
        """The recorded table, with `noops` exact no-ops as variants of a further family."""
        rows = list(csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
        header, names = rows[0], list(dict.fromkeys(row[0] for row in rows[1:]))
        values = np.array([[float(cell) for cell in row[2:]] for row in rows[1:]]).reshape(
            len(names), -1, len(header) - 2
        )
        scores = {}
        for i, column in enumerate(header[2:]):
            split, _, rung = column.rpartition("_")
            scores[split, 1.0 / int(rung)] = values[:, :, i]
        return cls(Space(FACTORS | {NOOP: tuple(str(i) for i in range(noops + 1))}), scores)

    @property
    def seeds(self) -> int:
        return self.scores["validation", FULL].shape[1]

    def row(self, point: Point) -> int:
        """Of a point's recipe; the no-op's number has no part in it."""
        place = 0
        for number, variants in zip(self.recipe(point).split("."), self.space.families.values(), strict=True):
            place = place * len(variants) + int(number)
        return place // len(self.space.families[NOOP])

    def recipe(self, point: Point) -> Point:
        """The point that `point` is an exact no-op of, maybe itself."""
        return self.space.baseline if self.flat else f"{point.rpartition('.')[0]}.0"

    def started(self, start: dict[str, str]) -> Table:
        """The same table, campaigns beginning at the point that has these variants and else the first ones."""
        first = {name: variants[0] for name, variants in self.space.families.items()}
        return replace(self, space=replace(self.space, start=self.space.point(first | start)))

    def without_effects(self) -> Table:
        return replace(self, flat=True)

    def best(self, split: str = "test") -> tuple[float, float]:
        """The true score of the start and of the best recipe, over all seeds."""
        means = np.nan_to_num(self.scores[split, FULL], nan=np.inf).mean(1)
        start = float(means[self.row(self.space.baseline)])
        return start, start if self.flat else float(means.min())


class World(Protocol):
    """Where a method's runs happen."""

    space: Space

    def run(self, point: Point, seed: int, share: float = FULL, split: str = "validation") -> float | None:
        """A complete run's score in bits per byte; None when it failed. Equal seeds are a pair."""
        ...


class TableWorld:
    """One replay's world."""

    def __init__(self, table: Table, seed: int, kind: Kind) -> None:
        self.table, self.space, self._salt = table, table.space, seed
        rows = list(range(table.seeds))
        self.rows = dict.fromkeys(_DIVISION, rows)
        if kind == "disjoint":
            Random(f"rows|{seed}").shuffle(rows)
            for part, share in _DIVISION.items():
                count = len(rows) if part == "truth" else max(1, round(share * table.seeds))
                self.rows[part], rows = rows[:count], rows[count:]
        self._truths: dict[tuple[int, str], float] = {}

    def run(self, point: Point, seed: int, share: float = FULL, split: str = "validation") -> float | None:
        rows = self.rows["decided on" if seed < REMEASURED_FROM else "measured again"]
        own = "" if point == self.table.recipe(point) else point if self.table.flat else point.rpartition(".")[2]
        row = Random(f"{self._salt}|{seed}|{own}").choice(rows)
        score = float(self.table.scores[split, share][self.table.row(point), row])
        return None if math.isnan(score) else score

    def truth(self, point: Point, split: str = "test") -> float:
        """The mean score of its recipe; inf when a run diverged."""
        key = (self.table.row(point), split)
        if key not in self._truths:
            scores = self.table.scores[split, FULL][key[0], self.rows["truth"]]
            self._truths[key] = math.inf if np.isnan(scores).any() else fmean(scores.tolist())
        return self._truths[key]


class WorldField:
    """A world as the campaign's field; costs in full runs."""

    def __init__(self, world: World) -> None:
        self.world = world

    def mutations(self, base: Point) -> list[str]:
        return self.world.space.words(base)

    def apply(self, base: Point, word: str) -> Point:
        return self.world.space.apply(base, word)

    def content(self, base: Point) -> dict[str, object]:
        return {}

    def gather(self, wanted: Sequence[RunRequest]) -> list[RunOutcome]:
        scores = [self.world.run(each.point, each.seed, split=each.split) for each in wanted]
        return [RunOutcome(score, FULL, None if score is not None else "nan") for score in scores]
