"""What a part may know, on its way to a promotion: pasted weights wait for a person, an honest part doesn't."""

from __future__ import annotations

import base64
from pathlib import Path
from random import Random
from typing import Any

import pytest

from foundry.judge import sandbox
from foundry.judge.evidence import Plan
from foundry.judge.verdict import Arm, Verdict
from foundry.mutate import mutate
from foundry.recipe import Recipe
from foundry.search import trial
from foundry.search.trial import Question
from tests.home import small_lab

pytestmark = pytest.mark.skipif(not sandbox.probe().at_least("landlock"), reason="this machine has no sandbox")
PART = '''"""ReLU, cubed. May not: let tokens meet."""
from foundry.modules.activation import ActivationConfig
from foundry.modules.feedforward import Plain

KNOWN = {known!r}


class Config(ActivationConfig):
    def build(self, width):
        return Plain(width, self.ratio, lambda x: x.relu() ** 3)
'''


@pytest.mark.parametrize(("known_bytes", "word"), [(6000, "not_better"), (0, "better")])
def test_pasted_weights_wait_for_a_person_whatever_they_gained(
    known_bytes: int, word: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUNDRY_TIER", "landlock")
    file = home / "workspace/modules/activation/knows.py"
    file.parent.mkdir(parents=True)
    file.write_text(PART.format(known=base64.b85encode(Random(7).randbytes(known_bytes)).decode()))
    baseline = Recipe.load(home / "experiments/baseline.yaml")
    with small_lab() as lab:
        first = lab.arm_of(baseline)
        second, currency = lab.candidate_arm(first, mutate(baseline, "activation:knows")[0], "tokens")
        arms = tuple(Arm(arm.name, arm.recipe.fingerprint, ()) for arm in (first, second))
        gained = Verdict("better", "tokens", (arms[0], arms[1]), Plan(0.05, 0.01, 12), ("made up",), effect_bpb=1.0)
        monkeypatch.setattr(trial, "certify", lambda *given: gained)
        monkeypatch.setattr(trial.verdict, "remeasure", lambda *given: gained)  # a loop without the guard ends here
        monkeypatch.setattr(lab, "gather", lambda *given: [])
        plan: dict[str, Any] = {"rules": vars(gained.plan), "seeds": [1], "remeasure": [2]}
        found = trial._answer(lab, Question(first, second, currency, "certification"), plan, lambda *pair: None)
    assert found.word == word
    assert ("in quarantine until a person has looked" in found.reasons[-1]) == (word == "not_better")
