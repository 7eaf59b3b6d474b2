"""What code gained, on its way to a promotion: what it may know is counted, and it is asked again on a second text."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from foundry import sandbox
from foundry.campaign.environment import ruling
from foundry.compare import comparison, second_text
from foundry.compare.calibrate import candidate_arm
from foundry.compare.comparison import Question, ask
from foundry.compare.session import Lab
from foundry.core.errors import BrokenCode, RequestError
from foundry.mutate import mutate
from foundry.recipe import Recipe
from foundry.stats.sequential_test import Plan
from foundry.stats.verdict import Arm, Verdict, remeasure
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
SHAKESPEARE, NETWORKX = "builtin:shakespeare", "builtin:networkx"
GAIN = 1.0


@pytest.fixture
def part(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOUNDRY_TIER", "landlock")
    file = home / "workspace/modules/activation/knows.py"
    file.parent.mkdir(parents=True)
    file.write_text(PART.format(known=""))
    return file


class MadeUp:
    """Gains by text that nobody trained for, in place of certification and re-measurement; and what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **gains: float | None) -> None:
        self.gains = {f"builtin:{name}": gain for name, gain in gains.items()}
        self.asked: list[tuple[str, int, int]] = []
        monkeypatch.setattr(comparison, "certify", self.certify)
        monkeypatch.setattr(comparison.verdict, "remeasure", self.remeasure)
        monkeypatch.setattr(Lab, "gather", lambda *given: [])

    def certify(self, lab: Lab, first: Any, second: Any, match: Any, plan: Plan, *rest: Any) -> Verdict:
        source = second.recipe.data.source
        self.asked.append((source, first.tokens, second.tokens))
        gain = self.gains[source]
        arms = (Arm(first.name, first.recipe.fingerprint, ()), Arm(second.name, second.recipe.fingerprint, ()))
        around = None if gain is None else (0.9 * gain, 1.1 * gain)
        word: Any = "better" if gain else "not_better"
        seen = {"differences": (gain,) * 5, "effect_bpb": gain, "interval_bpb": around}
        return Verdict(word, match, arms, plan, ("made up",), **seen)  # type: ignore[arg-type]

    def remeasure(self, found: Verdict, *rest: Any) -> Verdict:
        assert remeasure and found.effect_bpb is not None
        again = comparison.verdict.Remeasured(found.effect_bpb, (0.9, 1.1), 8)
        return replace(found, remeasured=again)


def verdict_on(mutation: str, split: str = "certification") -> dict[str, Any]:
    with small_lab() as lab:
        first = lab.arm_of(Recipe.load(Path("experiments/baseline.yaml")))
        second, currency = candidate_arm(lab, first, mutate(first.recipe, mutation)[0], "tokens")
        document = ask(lab, Question(first, second, currency, split), False, lambda *pair: None)
        document["tests"] = lab.ledger.budget.history(1).tests
    return document


def blocked(document: dict[str, Any]) -> list[str]:
    return [guard["name"] for guard in document["guards"] if not guard["passed"]]


def test_code_that_gains_on_both_texts_is_better_and_a_plain_change_is_asked_about_once(
    part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = MadeUp(monkeypatch, shakespeare=GAIN, networkx=GAIN / 2)
    document = verdict_on("activation:knows")
    assert document["verdict"] == "better" and blocked(document) == []
    second = document["second_text"]
    assert (second["source"], second["reason"], second["verdict"]) == (NETWORKX, None, "better")
    assert [source for source, *_ in made_up.asked] == [SHAKESPEARE, NETWORKX]
    assert made_up.asked[0][1:] == made_up.asked[1][1:], "the budgets are the same"
    assert document["tests"] == 1, "the second text spends nothing of the error budget"
    assert verdict_on("activation:knows")["comparison"] == document["comparison"] and len(made_up.asked) == 2
    assert ruling(document).runs == 2 * (5 + 5)
    plain = verdict_on("activation:relu2")
    assert (plain["verdict"], plain["second_text"], len(made_up.asked)) == ("better", None, 3)


@pytest.mark.parametrize("there", [None, GAIN * second_text.SHARE / 2])
def test_a_gain_that_is_there_on_one_text_only_waits_for_a_person(
    there: float | None, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MadeUp(monkeypatch, shakespeare=GAIN, networkx=there)
    document = verdict_on("activation:knows")
    assert document["verdict"] == "not_better" and blocked(document) == ["second_text"]
    assert document["second_text"]["reason"] == second_text.ONE_TEXT
    assert "in quarantine until a person has looked: its gain is there on one text only" in document["reasons"][-1]


@pytest.mark.parametrize("why", ["nothing is installed", "all is in reach", "the same text"])
def test_without_a_second_text_code_waits_for_a_person_and_is_told_how_to_have_one(
    why: str, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = MadeUp(monkeypatch, shakespeare=GAIN, networkx=GAIN)
    unknown = {"nothing is installed": "builtin:other", "all is in reach": "builtin:python", "the same text": ""}[why]
    with monkeypatch.context() as patch:
        patch.setattr(second_text, "TEXTS", (SHAKESPEARE, unknown or f"file:{copied(part)}"))
        document = verdict_on("activation:knows")
    assert document["verdict"] == "not_better" and blocked(document) == ["second_text"]
    assert document["second_text"]["reason"] == second_text.NO_TEXT
    assert "foundry data prepare builtin:shakespeare" in document["reasons"][-1]
    assert verdict_on("activation:knows")["verdict"] == "better", "once there is one it is another question"
    assert [source for source, *_ in made_up.asked] == [SHAKESPEARE, SHAKESPEARE, NETWORKX]


def copied(part: Path) -> Path:
    """The judged text under another name."""
    from foundry.data.corpus import open_source
    from foundry.data.sources import Reader, ReadingConfig

    folder = part.parents[3] / "copied"
    folder.mkdir()
    for number, document in enumerate(open_source(SHAKESPEARE).documents(Reader(ReadingConfig()))):
        (folder / f"{number:03}.txt").write_bytes(document.text.encode())
    return folder


def test_code_that_fails_on_the_second_text_waits_for_a_person(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MadeUp(monkeypatch, shakespeare=GAIN)
    measured = Lab.arm_of

    def arm_of(lab: Lab, recipe: Recipe, tokens: int | None = None) -> Any:
        if recipe.data.source == NETWORKX and recipe.sources():
            raise BrokenCode("model", "invalid", "a table of 86 for 143 ids")
        return measured(lab, recipe, tokens)

    monkeypatch.setattr(Lab, "arm_of", arm_of)
    document = verdict_on("activation:knows")
    assert document["verdict"] == "not_better" and document["second_text"]["reason"] == second_text.ONE_TEXT
    assert "a table of 86" in document["reasons"][-1]


def test_pasted_weights_wait_for_a_person_whatever_they_gained_and_wherever(
    part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MadeUp(monkeypatch, shakespeare=GAIN, networkx=GAIN)
    part.write_text(PART.format(known=base64.b85encode(Random(7).randbytes(6000)).decode()))
    document = verdict_on("activation:knows")
    assert document["verdict"] == "not_better" and blocked(document) == ["knowledge"]
    assert "in quarantine until a person has looked" in document["reasons"][-1]


def test_what_is_asked_on_the_second_text_is_the_code_that_gained_whatever_the_file_is_by_now(part: Path) -> None:
    recipe = mutate(Recipe.load(Path("experiments/baseline.yaml")), "activation:knows")[0]
    with small_lab() as lab:
        lab.ledger.recipes.put(recipe)
        part.write_text(PART.format(known="another"))
        other = recipe.on_text(NETWORKX)
        lab.ledger.recipes.put(other)
        assert other.fingerprint != recipe.fingerprint and other.sources() == recipe.sources()
        rows = [lab.ledger.recipes.get(each.fingerprint) or {} for each in (recipe, other)]
        assert rows[0]["sources"] == rows[1]["sources"]
        unknown = Recipe.load(Path("experiments/baseline.yaml"))
        unknown = mutate(unknown, "activation:knows")[0]
        unknown.sources()
        part.write_text(PART.format(known="a third"))
        with pytest.raises(Exception, match=r"ledger\.source_changed"):
            lab.ledger.recipes.put(unknown)


def test_the_second_text_of_a_recipe_is_never_its_own(part: Path) -> None:
    baseline = Recipe.load(Path("experiments/baseline.yaml"))
    with small_lab() as lab:
        for own, other in ((SHAKESPEARE, NETWORKX), (NETWORKX, SHAKESPEARE), ("builtin:python", NETWORKX)):
            try:
                arm = lab.arm_of(baseline.on_text(own))
            except RequestError:
                continue
            assert second_text.source_for(lab, arm) == other
