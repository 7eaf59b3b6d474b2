"""Optuna's tuners as peers: TPE with Hyperband, TPE with the Wilcoxon pruner over seeds, and ASHA.

Asynchronous successive halving is Optuna's SuccessiveHalvingPruner under random sampling, as Li et al. (2020) have it.
A trial that goes on from a rung pays for the increment alone, and what it shows on the rung is a complete short run's
score: both are in its favour, for a real trial would have to be stopped and resumed, or be judged in mid-schedule.

With top-k re-evaluation, whatever enters the best `k` by its own score is run on further seeds, and the incumbent is
the lowest mean of those alone. May not: know a truth.
"""

from __future__ import annotations

from statistics import fmean
from typing import Literal

import optuna

from benchmarks.campaign.methods import Method, Seeds, Trace
from benchmarks.campaign.table import SHARES, World
from foundry.campaign.environment import FULL, Point

TOP, AGAIN = 5, 4
"""How many are re-evaluated, and on how many seeds."""
WILCOXON_SEEDS = 6
Tuner = Literal["tpe + hyperband", "tpe + wilcoxon", "asha"]

optuna.logging.set_verbosity(optuna.logging.ERROR)


def tuner(name: Tuner, reevaluated: bool) -> Method:
    return lambda world, seed, horizon: (_Tuning(world, seed, horizon, name, reevaluated).run(),)


class _Tuning:
    def __init__(self, world: World, seed: int, horizon: float, name: Tuner, reevaluated: bool) -> None:
        self.world, self.horizon, self.name, self.reevaluated = world, horizon, name, reevaluated
        self.trace, self.drawn = Trace(world.space.baseline), Seeds()
        self.own: dict[int, tuple[float, Point]] = {}
        """Trial → what it shows itself."""
        self.again: dict[int, float] = {}
        """Trial → its mean on further seeds."""
        self.held: float | None = None
        number = seed % 2**31
        factor = round(SHARES[1] / SHARES[0])
        sampler = optuna.samplers.RandomSampler(number) if name == "asha" else optuna.samplers.TPESampler(seed=number)
        pruner: optuna.pruners.BasePruner
        if name == "asha":
            pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=factor)
        elif name == "tpe + hyperband":
            pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=factor, reduction_factor=factor)
        else:
            pruner = optuna.pruners.WilcoxonPruner()
        self.study = optuna.create_study(sampler=sampler, pruner=pruner, study_name=f"replay {seed}")
        self.shared = [self.drawn.next() for _ in range(WILCOXON_SEEDS)]
        self.study.enqueue_trial(world.space.variants(world.space.baseline))

    def run(self) -> Trace:
        least = SHARES[0] if self.name != "tpe + wilcoxon" else FULL
        while self.trace.cost + least <= self.horizon:
            trial = self.study.ask()
            chosen = {name: trial.suggest_categorical(name, all_) for name, all_ in self.world.space.families.items()}
            point = self.world.space.point(chosen)
            score = self._seeds(trial, point) if self.name == "tpe + wilcoxon" else self._rungs(trial, point)
            if score is None:
                self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                continue
            self.study.tell(trial, score)
            self._finished(trial.number, point, score)
        return self.trace

    def _rungs(self, trial: optuna.Trial, point: Point) -> float | None:
        """Up the rungs on a seed of its own, while the pruner lets it."""
        seed, paid, score = self.drawn.next(), 0.0, None
        for share in SHARES:
            if self.trace.cost + share - paid > self.horizon:
                self.trace.cost = self.horizon
                return None
            score = self.world.run(point, seed, share)
            self.trace.cost, paid = self.trace.cost + share - paid, share
            if score is None:
                return None
            trial.report(score, round(share / SHARES[0]))
            if share < FULL and trial.should_prune():
                return None
        return score

    def _seeds(self, trial: optuna.Trial, point: Point) -> float | None:
        """Full runs on the seeds that all trials share, while the pruner lets it."""
        scores = []
        for step, seed in enumerate(self.shared):
            if self.trace.cost + FULL > self.horizon:
                self.trace.cost = self.horizon
                return None
            score = self.world.run(point, seed)
            self.trace.cost += FULL
            if score is None:
                return None
            scores.append(score)
            trial.report(score, step)
            if step + 1 < len(self.shared) and trial.should_prune():
                return None
        return fmean(scores)

    def _finished(self, number: int, point: Point, score: float) -> None:
        self.own[number] = (score, point)
        if not self.reevaluated:
            self._hold(point, score)
            return
        for best in sorted(self.own, key=lambda each: self.own[each][0])[:TOP]:
            if best in self.again or self.trace.cost + AGAIN * FULL > self.horizon:
                continue
            scores = [self.world.run(self.own[best][1], self.drawn.next()) for _ in range(AGAIN)]
            self.trace.cost += AGAIN * FULL
            self.again[best] = fmean(s if s is not None else float("inf") for s in scores)
            self._hold(self.own[best][1], self.again[best])

    def _hold(self, point: Point, score: float) -> None:
        if self.held is None or score < self.held:
            self.held = score
            self.trace.change(point, score)
