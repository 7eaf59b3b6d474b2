"""CMA-ES (Hansen & Ostermeier 2001), Optuna's, over the families whose variants are numbers: rates, clips, decays.

It walks in the logarithm of each number, between the smallest and the largest offered, and proposes the nearest offered
one: what may be tried stays what the space says. Trials of others teach it where they name one of its numbers. May not:
touch a family that has fewer than three numbers.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from typing import Any, final

from foundry.campaign.strategies import Proposal, Scene, Strategy, Trial
from foundry.campaign.strategies._optuna import KEEP, REMEMBERED, choices, optuna
from foundry.mutate import family_of, stack_of, words_of

NEEDS = ("optuna", "cmaes")
FEWEST = 3
FEWEST_KNOWN = 20
"""Trials of which the best tenth gives a covariance."""
TRIES = 4
MOST_CHANGES = 3


@final
class Cmaes(Strategy):
    name = "cmaes"

    def __init__(self) -> None:
        self._optuna = optuna(self.name, NEEDS)
        self._told: deque[tuple[dict[str, str], float]] = deque(maxlen=REMEMBERED)

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        axes = {name: axis for name, words in choices(scene.words).items() if len(axis := _axis(words)) >= FEWEST}
        if len(axes) < 2:  # in one dimension it isn't defined
            return []
        space, study = self._space(axes), self._study(axes, scene.rng.randrange(2**31))
        found: dict[str, Proposal] = {}
        for _ in range(TRIES * n):
            if len(found) == n:
                break
            drawn = {name: _nearest(axes[name], value) for name, value in study.ask(space).params.items()}
            some = scene.rng.sample(sorted(drawn), min(len(drawn), scene.rng.randint(1, MOST_CHANGES)))
            word = stack_of(drawn[name] for name in some)
            if word not in found and scene.is_new(word):
                found[word] = Proposal(word, self.name, "near the numbers that gained")
        return list(found.values())

    def _study(self, axes: dict[str, dict[str, float]], seed: int) -> Any:
        """A study that begins at what is known of these numbers: its first covariance is that of the best trials."""
        space, known = self._space(axes), []
        for chosen, gain in self._told:
            if any(chosen.get(name) in axis for name, axis in axes.items()):
                at = {name: axis.get(chosen.get(name, ""), _middle(axis)) for name, axis in axes.items()}
                known.append(self._optuna.trial.create_trial(params=at, distributions=space, value=gain))
        warm = {"source_trials": known} if len(known) >= FEWEST_KNOWN else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)  # source_trials
            sampler = self._optuna.samplers.CmaEsSampler(
                seed=seed, n_startup_trials=0, warn_independent_sampling=False, **warm
            )
        study = self._optuna.create_study(sampler=sampler, direction="maximize")
        study.add_trials(known)  # with none it draws uniformly
        return study

    def _space(self, axes: dict[str, dict[str, float]]) -> dict[str, Any]:
        distribution = self._optuna.distributions.FloatDistribution
        return {name: distribution(min(axis.values()), max(axis.values())) for name, axis in axes.items()}

    def tell(self, trial: Trial) -> None:
        if trial["gain"] is not None:
            self._told.append(({family_of(word): word for word in words_of(trial["word"])}, trial["gain"]))


def _axis(words: list[str]) -> dict[str, float]:
    """Word → where it lies: the logarithm of its number, zero an octave below the smallest; empty where a word of the
    family has none."""
    numbers = {word: _number(word) for word in words if word != KEEP}
    if any(number is None or number < 0 for number in numbers.values()):
        return {}
    positive = [number for number in numbers.values() if number]
    if len(set(positive)) < 2:
        return {}
    return {word: math.log2(number or min(positive) / 2) for word, number in numbers.items() if number is not None}


def _number(word: str) -> float | None:
    try:
        return float(word.partition(":")[2])
    except ValueError:
        return None


def _nearest(axis: dict[str, float], value: float) -> str:
    return min(axis, key=lambda word: abs(axis[word] - value))


def _middle(axis: dict[str, float]) -> float:
    """Where a trial stands on an axis that it didn't name: the frontier's own number isn't known here."""
    return sorted(axis.values())[len(axis) // 2]


def make() -> Cmaes:
    return Cmaes()
