"""The default: a bandit over the other strategies, paid by certified gain per FLOP, never by a claim.

Who has spent much and earned nothing is asked less, and nobody is never asked. May not: propose anything itself.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from typing import final

from foundry.campaign import strategies
from foundry.campaign.strategies import Proposal, Scene, Strategy, Trial

MEMBERS = ("evolve", "grid", "random")
OPTIONAL = {"tpe": ("optuna",), "cmaes": ("optuna", "cmaes")}
"""Members that join where their packages are installed."""
FLOOR = 0.1
"""Share of the slots that are given out evenly, whatever was earned."""
PRIOR_TRIALS = 16
"""An arm's credit before it has earned anything: the average pay, for so many average candidates."""


@final
class Portfolio(Strategy):
    name = "portfolio"

    def __init__(self, members: tuple[str, ...]) -> None:
        self.arms = {name: strategies.make(name) for name in members}
        self._spent = dict.fromkeys(members, 0.0)
        self._earned = dict.fromkeys(members, 0.0)
        self._trials = 0

    def shares(self) -> dict[str, float]:
        """How likely each arm is to be asked next."""
        spent, earned = sum(self._spent.values()), sum(self._earned.values())
        prior_flops = PRIOR_TRIALS * spent / self._trials if spent else 1.0
        pay = (earned or 1.0) / (spent or 1.0)
        rates = {
            name: (self._earned[name] + pay * prior_flops) / (self._spent[name] + prior_flops) for name in self.arms
        }
        total = sum(rates.values())
        return {name: FLOOR / len(rates) + (1 - FLOOR) * rate / total for name, rate in rates.items()}

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        shares = self.shares()
        found: dict[str, Proposal] = {}
        open_arms = list(shares)
        while len(found) < n and open_arms:
            weights = [shares[name] for name in open_arms]
            slots = Counter(scene.rng.choices(open_arms, weights, k=n - len(found)))
            for name, count in slots.items():
                given = [each for each in self.arms[name].ask(scene, count) if each.word not in found]
                found |= {each.word: each for each in given}
                if len(given) < count:
                    open_arms.remove(name)
        return list(found.values())

    def tell(self, trial: Trial) -> None:
        if trial["by"] in self._spent:
            self._trials += 1
            self._spent[trial["by"]] += trial["flops"]
        for arm in self.arms.values():
            arm.tell(trial)

    def reward(self, by: str, gain: float) -> None:
        if by in self._earned:
            self._earned[by] += max(gain, 0.0)


def make() -> Portfolio:
    more = [name for name, needs in OPTIONAL.items() if all(map(importlib.util.find_spec, needs))]
    return Portfolio((*MEMBERS, *more))
