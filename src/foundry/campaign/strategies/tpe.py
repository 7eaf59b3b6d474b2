"""Tree-structured Parzen estimator (Bergstra et al. 2011), Optuna's: a variant or `keep` for each family.

The trials of others teach it too. Most families are kept in a proposal: a few words that it draws as promising are
stacked, for a recipe in which all families change at once is no neighbour of the frontier. May not: remember more than
a window of trials.
"""

from __future__ import annotations

from collections import deque
from typing import Any, final

from foundry.campaign.strategies import Proposal, Scene, Strategy, Trial
from foundry.campaign.strategies._optuna import KEEP, REMEMBERED, choices, optuna
from foundry.mutate import family_of, stack_of, words_of

MOST_CHANGES = 3
TRIES = 4
"""Draws for each proposal, before the rest of the batch is left to others."""


@final
class Tpe(Strategy):
    name = "tpe"

    def __init__(self) -> None:
        self._optuna = optuna(self.name)
        self._told: deque[tuple[dict[str, str], float]] = deque(maxlen=REMEMBERED)

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        offered = choices(scene.words)
        space: dict[str, Any] = {
            name: self._optuna.distributions.CategoricalDistribution(words) for name, words in offered.items()
        }
        study = self._study(space, scene.rng.randrange(2**31))
        found: dict[str, Proposal] = {}
        for _ in range(TRIES * n if space else 0):
            if len(found) == n:
                break
            drawn = study.ask(space).params
            changed = sorted(name for name, word in drawn.items() if word != KEEP)
            kept = scene.rng.sample(changed, min(len(changed), scene.rng.randint(1, MOST_CHANGES)))
            word = stack_of(drawn[name] for name in kept)
            if word and word not in found and scene.is_new(word):
                found[word] = Proposal(word, self.name, "drawn where gains were dense")
        return list(found.values())

    def _study(self, space: dict[str, Any], seed: int) -> Any:
        sampler = self._optuna.samplers.TPESampler(seed=seed, n_startup_trials=8, constant_liar=True)
        study = self._optuna.create_study(sampler=sampler, direction="maximize")
        for chosen, gain in self._told:
            params = {name: chosen.get(name, KEEP) for name in space}
            if all(params[name] in space[name].choices for name in space):
                study.add_trial(self._optuna.trial.create_trial(params=params, distributions=space, value=gain))
        return study

    def tell(self, trial: Trial) -> None:
        if trial["gain"] is not None:
            self._told.append(({family_of(word): word for word in words_of(trial["word"])}, trial["gain"]))


def make() -> Tpe:
    return Tpe()
