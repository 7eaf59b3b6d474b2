"""What can't be compared or judged is refused before it trains, in every verb, with its reason."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.campaign.live_environment import LiveEnvironment
from foundry.campaign.policy import Limits
from foundry.campaign.run import CampaignPlan, campaign
from foundry.compare import comparison
from foundry.compare.compare import compare
from foundry.compare.comparison import Rules
from foundry.compare.session import Lab
from foundry.compare.training import train
from foundry.core.errors import RequestError
from foundry.interface.cli import main
from foundry.ledger import queries
from foundry.promote.promote import settle
from foundry.promote.sweep import SweepPlan, sweep
from foundry.recipe import Recipe
from soak.endless import InstantLab
from tests import schema
from tests.home import small_lab, write_tiny

BASELINE = Path("experiments/baseline.yaml")


@pytest.fixture
def easier(home: Path) -> str:
    """A word that puts an easy text in the baseline's place."""
    Path("easy.txt").write_text("".join(f"the same line, {i}\n" for i in range(4000)))
    return f"set:data.source=file:{Path('easy.txt').resolve()}"


def ignore(*told: Any) -> None: ...


def trained(lab: Lab) -> int:
    return len(lab.ledger._file.rows("SELECT id FROM runs"))  # pyright: ignore[reportPrivateUsage]


def test_a_candidate_on_another_text_is_out_of_a_sweep_before_it_trains(easier: str) -> None:
    with small_lab() as lab:
        plan = SweepPlan((easier, f"{easier}+lr:2e-3", "lr:1e-6"), seeds=1, promote=True)
        rows = {row["mutation"]: row for row in sweep(lab, BASELINE, plan, ignore)["candidates"]}
        assert trained(lab) == 2, "the baseline, and the one that can be compared"
        assert lab.ledger.budget.season() is None, "no part of the error budget is spent on it"
    for word in (easier, f"{easier}+lr:2e-3"):
        assert (rows[word]["status"], rows[word]["reason"]) == ("failed", "incomparable")
        assert "match.incomparable" in rows[word]["detail"] and "judged_hash" in rows[word]["detail"]
    assert rows["lr:1e-6"]["status"] == "done"


@pytest.mark.parametrize("match", [None, "seconds"])
def test_in_a_campaign_it_does_not_fit_and_a_proposal_of_it_is_refused(easier: str, match: str | None) -> None:
    with small_lab() as lab:
        field = LiveEnvironment(lab, settle(lab.ledger, BASELINE), match)
        with pytest.raises(RequestError, match=r"match\.incomparable"):
            field.apply(field.champion, easier)
        assert field.apply(field.champion, "tokenizer:bytes") != field.champion, "another tokenizer, the same bytes"
        lab.ledger.proposals.add(easier, "it is easier", "agent")
        campaign(lab, BASELINE, CampaignPlan(Limits(runs=9), "outside", match=match), ignore, ignore)
        (row,) = lab.ledger.proposals.latest(9, "refused")
        assert "match.incomparable" in row["result"]["reason"]
        assert trained(lab) == 0


def test_a_comparison_across_texts_says_so_and_trains_nothing(easier: str) -> None:
    other = write_tiny(Path("experiments/other.yaml"), data__source=easier.partition("=")[2])
    with small_lab() as lab:
        for match, tune in ((None, None), ("seconds", "lr")):
            document = compare(lab, BASELINE, other, Rules(), match, tune, (), False, ignore)
            assert document["verdict"] == "incomparable" and document["n"] == 0
            assert "the arms differ in judged_hash" in document["says"]
        assert trained(lab) == 0


VERBS: dict[str, Callable[[Lab], Any]] = {
    "train": lambda lab: train(lab, BASELINE, 1, False, False),
    "sweep": lambda lab: sweep(lab, BASELINE, SweepPlan(("lr:1e-6",), promote=True), ignore),
    "compare": lambda lab: compare(lab, BASELINE, BASELINE, Rules(), None, None, (), False, ignore),
    "campaign": lambda lab: campaign(lab, BASELINE, CampaignPlan(Limits(runs=9), "random"), ignore, ignore),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("context", "code"), [(64, "data.too_little_text"), (1024, "data.too_few_tokens")])
def test_a_corpus_too_small_to_judge_or_to_train_on_is_found_out_first(
    home: Path, verb: str, context: int, code: str
) -> None:
    """Of twenty short documents each judged split has one, which is one window; training has no window of 1,024."""
    Path("few.jsonl").write_text("".join(json.dumps({"text": f"a short text, {i:02}"}) + "\n" for i in range(20)))
    write_tiny(BASELINE, data__source="file:few.jsonl", model__context=context, budget__tokens=4 * context)
    with small_lab() as lab:
        with pytest.raises(RequestError, match=code):
            VERBS[verb](lab)
        assert trained(lab) == 0


def test_of_several_candidates_the_one_that_is_too_large_for_the_text_is_out_alone(home: Path) -> None:
    Path("few.jsonl").write_text("".join(json.dumps({"text": f"a short text, {i}"}) + "\n" for i in range(60)))
    write_tiny(BASELINE, data__source="file:few.jsonl")
    with small_lab() as lab:
        plan = SweepPlan(("set:model.context=32", "lr:1e-6"), seeds=1)
        rows = {row["mutation"]: row for row in sweep(lab, BASELINE, plan, ignore)["candidates"]}
    assert rows["lr:1e-6"]["status"] == "done"
    longer = SweepPlan(("set:model.context=4096+set:budget.tokens=65536", "lr:1e-6"), seeds=1)
    with small_lab() as lab:
        rows = {row["mutation"]: row for row in sweep(lab, BASELINE, longer, ignore)["candidates"]}
    (out,) = [row for word, row in rows.items() if "4096" in word]
    assert (out["status"], out["reason"]) == ("failed", "invalid") and "data.too_few_tokens" in out["detail"]


def test_a_comparison_says_that_it_is_uncorrected_and_how_often_its_pair_was_asked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from foundry.interface import report

    other = write_tiny(Path("experiments/other.yaml"), train__optimizer__lr=2e-3)
    with InstantLab(score=lambda spec, split: 2.0) as lab:
        rules = Rules(0.3, 3), Rules(0.3, 3), Rules(0.4, 3)
        asked = [compare(lab, BASELINE, other, each, None, None, (), i == 1, ignore) for i, each in enumerate(rules)]
        assert [document["asked"] for document in asked] == [1, 2, 3] and asked[0]["corrected"] is False
        again = compare(lab, BASELINE, other, rules[0], None, None, (), False, ignore)
        assert again["asked"] == 3, "a stored verdict is no new question"
    report.comparison(again)
    assert "Not corrected for how often it is asked; of this pair 3 times so far." in capsys.readouterr().out


def test_of_the_reports_the_newest_stay_and_asking_again_writes_an_old_one_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "MOST_REPORTS", 2)
    other = write_tiny(Path("experiments/other.yaml"), train__optimizer__lr=2e-3)
    alphas = (0.3, 0.35, 0.4, 0.3)
    with InstantLab(score=lambda spec, split: 2.0) as lab:
        rules = [Rules(alpha, 3) for alpha in alphas]
        documents = []
        for each in rules:
            documents.append(compare(lab, BASELINE, other, each, None, None, (), False, ignore))
            if len(documents) == 2:  # the clock goes back by a year
                later = time.time() + 3e7
                os.utime(documents[1]["report"], (later, later))
    assert documents[3]["comparison"] == documents[0]["comparison"]
    kept = {path.name for path in Path("runs/reports").iterdir()}
    assert kept == {Path(document["report"]).name for document in documents[2:]}
    assert json.loads(Path(documents[0]["report"]).read_text())["comparison"] == documents[0]["comparison"]


def test_arms_of_one_name_are_told_apart_by_file(easier: str) -> None:
    files = [BASELINE, write_tiny(Path("experiments/other.yaml"), data__source=easier.partition("=")[2])]
    for names, shown in ((("tiny", "tiny"), [str(file) for file in files]), (("tiny", "large"), ["tiny", "large"])):
        for file, name in zip(files, names, strict=True):
            Recipe.load(file).model_copy(update={"name": name}).save(file)
        with small_lab() as lab:
            document = compare(lab, files[0], files[1], Rules(), None, None, (), True, ignore)
            assert [arm["name"] for arm in document["arms"]] == shown


@pytest.mark.parametrize("promote", [(), ("--promote",)])
def test_a_sweep_of_nothing_but_refused_candidates_was_a_wrong_request(
    home: Path, promote: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    refused = ["lr:0.9e9", "width:33"]
    assert main(["sweep", *refused, *promote, "--device", "cpu", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert [row["reason"] for row in document["candidates"]] == ["invalid", "invalid"]
    assert queries.log() == [] and "no candidate is left" in schema.text(document["why"])
