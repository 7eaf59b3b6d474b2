"""What every verb works with: ledger, scheduler and prepared data, opened once. May not: decide anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from foundry.compare.match import Arm, arm, as_champion
from foundry.core.errors import RequestError
from foundry.core.fingerprint import fingerprint
from foundry.data.prepare import prepare
from foundry.data.prepared import Prepared
from foundry.execute.executor import Executor, executor
from foundry.execute.result import Limits, RunResult, Silent, Watcher
from foundry.execute.scheduler import Scheduler
from foundry.ledger.ledger import Ledger
from foundry.ledger.run_spec import RunSpec
from foundry.recipe import Recipe
from foundry.stats.fresh_seeds import screening_seeds

Say = Callable[[str], None]
Allow = Callable[[Sequence[tuple[RunSpec, int]]], None]
"""Told of runs before they are asked for, each with its FLOPs; raises where they may not be."""
INCOMPARABLE = "match.incomparable"


@dataclass(frozen=True)
class Settings:
    """How to execute; no part of any identity except `judged_bytes`, which is part of the scale."""

    jobs: int = 0
    """Runs at once; 0 for one a core on a CPU and one on an accelerator."""
    device: str = "auto"
    judged_bytes: int = 1 << 15
    limits: Limits = field(default_factory=Limits)
    retry: bool = False
    """Train again what crashed, ran out of memory or ran out of time before."""

    def __post_init__(self) -> None:
        if self.jobs < 0:
            raise RequestError("settings.jobs", "--jobs", "at least 1, or 0 to choose", got=self.jobs)


class Lab:
    """Use as a context manager. Opening makes `runs/` and its ledger; no worker starts before something must run."""

    def __init__(
        self,
        settings: Settings,
        watcher: Watcher | None = None,
        say: Say = lambda line: None,
        runs_on: Executor | None = None,
    ) -> None:
        """runs_on: an executor of one's own, in place of the one that the environment names."""
        self.settings, self.say = settings, say
        self.allow: Allow = lambda asks: None
        self.device = resolved_device(settings.device)
        jobs = settings.jobs or (os.cpu_count() or 1 if self.device == "cpu" else 1)
        self.ledger = Ledger.open()
        self.engine = Scheduler(
            self.ledger,
            runs_on or executor(jobs),
            device=self.device,
            judged_bytes=settings.judged_bytes,
            limits=settings.limits,
            watcher=watcher or Silent(),
            retry=settings.retry,
        )
        self._data: dict[str, Prepared] = {}
        self._enough: set[tuple[str, int]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.__exit__(kind, error, trace)
        self.ledger.close()

    def data(self, recipe: Recipe) -> Prepared:
        """The recipe's data, prepared once."""
        key = recipe.data.model_dump_json()
        if key not in self._data:
            self._data[key] = prepare(recipe.data, self.say)
        return self._data[key]

    def scale(self, recipe: Recipe, split: str) -> dict[str, Any]:
        """What the recipe's scores are measured on: two that differ in any of it can't be compared."""
        judged = self.data(recipe).judged_hash
        begun = {"init": recipe.init.hash} if recipe.init else {}  # it may have seen anything
        return {"judged_hash": judged, "split": split, "judged_bytes": self.settings.judged_bytes, **begun}

    def arm_of(self, recipe: Recipe, tokens: int | None = None) -> Arm:
        """The recipe with its own budget, or with `tokens`."""
        return arm(recipe, self.vocab_size(recipe), tokens or recipe.budget.tokens)

    def champion_arm(self, track: str, champion: Recipe) -> Arm:
        """A track's champion with its own budget, and what of the track's reference compute that is."""
        return as_champion(self.arm_of(champion), *self.ledger.promotions.reference(track, champion.fingerprint))

    def unlike(self, baseline: Recipe, recipe: Recipe) -> str:
        """In what the scales of the two differ; empty when their scores can be compared."""
        ours, theirs = self.scale(baseline, ""), self.scale(recipe, "")
        return ", ".join(key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key))

    def check_comparable(self, baseline: Recipe, recipe: Recipe) -> None:
        """Raises RequestError for scores that can't be compared, which is known before there are any."""
        if unlike := self.unlike(baseline, recipe):
            message = f"its scores can't be compared with {baseline.name}'s: {unlike} is another"
            hint = "judge both on one text; to go on from another one, change the baseline by hand"
            raise RequestError(INCOMPARABLE, "data.source", message, got=recipe.data.source, hint=hint)

    def vocab_size(self, recipe: Recipe) -> int:
        """Of the recipe's data; and what its model costs is known afterwards. Raises RequestError for broken code, and
        for too little text to train on or to judge by."""
        data = self.data(recipe)
        if (data.hash, recipe.model.context) not in self._enough:
            data.check(recipe.model.context, self.settings.judged_bytes)
            self._enough.add((data.hash, recipe.model.context))
        self.engine.measure(recipe, data.vocab_size)
        return data.vocab_size

    def screening_seeds(self, recipes: Iterable[Recipe], numbers: Sequence[int]) -> list[int]:
        """The seed of each number, for recipes that are screened together."""
        code = sorted({each for recipe in recipes for each in recipe.sources().values()})
        return screening_seeds(self.ledger.secret(), fingerprint(code) if code else "", numbers)

    def spec(self, of: Arm, seed: int) -> RunSpec:
        return RunSpec(of.recipe, seed, of.tokens, self.data(of.recipe).hash)

    def ask(self, of: Arm, seed: int, split: str = "validation") -> RunSpec:
        """Submit one run; its result comes from `engine.wait`."""
        spec = self.spec(of, seed)
        self.allow([(spec, of.flops)])
        self.engine.submit(spec, self.data(of.recipe), split, confined=of.confined)
        return spec

    def gather(self, asks: list[tuple[Arm, int]], split: str = "validation") -> list[RunResult]:
        specs = [self.spec(of, seed) for of, seed in asks]
        self.allow([(spec, of.flops) for spec, (of, _) in zip(specs, asks, strict=True)])
        for spec, (of, _) in zip(specs, asks, strict=True):
            if of.confined:
                self.engine.submit(spec, self.data(of.recipe), split, confined=True)
        datas = [self.data(of.recipe) for of, _ in asks]
        return self.engine.gather(zip(specs, datas, strict=True), split)


def resolved_device(asked: str) -> str:
    """`auto` as cuda, mps or cpu, by what is there. Raises RequestError for a device that isn't."""
    from foundry.train.device import choose_device

    return choose_device(asked).type
