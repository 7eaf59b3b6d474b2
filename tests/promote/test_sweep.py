"""What a sweep promises, on real runs of a fraction of a second each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundry.compare.session import Lab
from foundry.core.errors import FoundryError, WorkError
from foundry.mutate import all_variants, mutate
from foundry.promote.promote import promote, revert, settle
from foundry.promote.sweep import SweepPlan, sweep
from foundry.recipe import Recipe
from tests.home import small_lab, write_tiny

BASELINE = Path("experiments/baseline.yaml")


def run_sweep(lab: Lab, *mutations: str, **plan: Any) -> Any:
    return sweep(lab, BASELINE, SweepPlan(mutations, seeds=1, **plan), lambda *pair: None)


def test_a_real_gain_is_certified_promoted_and_can_be_reverted(home: Path) -> None:
    write_tiny(BASELINE, train__optimizer__lr=1e-5, budget__tokens=64 * 40)
    before = BASELINE.read_text()
    with small_lab() as lab:
        document = run_sweep(lab, "lr:1e-2", promote=True)
        assert document["verdict"]["verdict"] == "better"
        assert document["promoted"] == "lr:1e-2"
        promoted = Recipe.load(BASELINE)
        assert lab.ledger.promotions.champion(str(BASELINE)) == promoted.fingerprint
        assert promoted.to_dict()["train"]["optimizer"]["lr"] == 1e-2
        assert [line.partition("#")[2] for line in before.splitlines()] == [
            line.partition("#")[2] for line in BASELINE.read_text().splitlines()
        ], "comments survive a promotion"
        # every number of the verdict is true of the runs in the ledger
        gains = []
        arms = document["verdict"]["arms"]
        for a, b in zip(arms[0]["runs"], arms[1]["runs"], strict=True):
            scores = [lab.ledger.runs.score(run["run"], "certification", lab.engine.protocol) for run in (a, b)]
            assert [score and score["bpb"] for score in scores] == [a["val_bpb"], b["val_bpb"]]
            gains.append(a["val_bpb"] - b["val_bpb"])
        assert document["verdict"]["effect_bpb"] == pytest.approx(sum(gains) / len(gains))
        revert(lab.ledger, BASELINE)
    assert BASELINE.read_text() == before


def test_a_sweep_without_a_better_candidate_promotes_nothing_and_says_so(home: Path) -> None:
    write_tiny(BASELINE, train__optimizer__lr=1e-2)
    before = BASELINE.read_text()
    with small_lab() as lab:
        document = run_sweep(lab, "lr:1e-6", "lr:1e-7", promote=True)
    assert document["promoted"] is None and document["verdict"] is None
    assert "no candidate beats the baseline" in document["why"]
    assert BASELINE.read_text() == before


def test_a_focal_candidate_with_the_lower_training_loss_loses(home: Path) -> None:
    write_tiny(BASELINE, train__optimizer__lr=3e-4, budget__tokens=64 * 60)  # slow: its gradients are smaller
    with small_lab() as lab:
        document = run_sweep(lab, "set:train.loss={kind: focal, gamma: 10.0}", promote=True)
        baseline = lab.arm_of(Recipe.load(BASELINE))
        spec = lab.spec(baseline, lab.screening_seeds([baseline.recipe], [1])[0])
        baseline_loss = lab.ledger.runs.get(spec.id)["train_loss"]
    focal = document["candidates"][0]
    assert focal["runs"][0]["train_loss"] < baseline_loss
    assert focal["val_bpb"] > document["baseline"]["val_bpb"]
    assert document["promoted"] is None


def test_asking_again_trains_nothing(home: Path) -> None:
    with small_lab() as lab:
        first = run_sweep(lab, "norm:rmsnorm", "activation:relu2", promote=True)
        count = lab.ledger.runs.get(first["candidates"][0]["runs"][0]["run"])["attempts"]
        tests = lab.ledger.budget.history(1).tests if lab.ledger.budget.season() else 0
        assert lab.engine.executor._serial > 0  # type: ignore[attr-defined]
    with small_lab() as lab:
        again = run_sweep(lab, "norm:rmsnorm", "activation:relu2", promote=True)
        assert lab.engine.executor._serial == 0, "no task was submitted"  # type: ignore[attr-defined]
        assert lab.ledger.runs.get(first["candidates"][0]["runs"][0]["run"])["attempts"] == count == 1
        assert (lab.ledger.budget.history(1).tests if lab.ledger.budget.season() else 0) == tests
    assert again["verdict"] == first["verdict"]


def test_a_no_op_is_the_baseline_and_is_not_trained(home: Path) -> None:
    with small_lab() as lab:
        document = run_sweep(lab, "set:name=x", "norm:layernorm", promote=True)
        assert document["candidates"] == [] and document["unchanged"] == ["set:name=x", "norm:layernorm"]


def test_of_two_promotions_from_one_baseline_the_second_is_refused_and_changes_nothing(home: Path) -> None:
    with small_lab() as lab:
        baseline = settle(lab.ledger, BASELINE)
        winners = [mutate(baseline, text)[0] for text in ("norm:rmsnorm", "activation:relu2")]
        promote(lab.ledger, BASELINE, baseline, winners[0], None, {})
        text = BASELINE.read_text()
        with pytest.raises(WorkError, match="another promotion came first"):
            promote(lab.ledger, BASELINE, baseline, winners[1], None, {})
        assert BASELINE.read_text() == text
        assert lab.ledger.promotions.champion(str(BASELINE)) == winners[0].fingerprint


def test_a_promotion_cut_off_before_the_file_is_finished_by_the_next_command(home: Path) -> None:
    old = BASELINE.read_text()
    with small_lab() as lab:
        baseline = settle(lab.ledger, BASELINE)
        winner = mutate(baseline, "norm:rmsnorm")[0]
        promote(lab.ledger, BASELINE, baseline, winner, None, {})
        lab.ledger._file.row("SELECT 1")  # pyright: ignore[reportPrivateUsage]
        with lab.ledger._file.writing() as write:  # pyright: ignore[reportPrivateUsage]
            write.execute("UPDATE promotions SET written = NULL WHERE kind = 'promote'")
        BASELINE.write_text(old)  # as if the machine had stopped between the ledger and the file
        assert settle(lab.ledger, BASELINE).fingerprint == winner.fingerprint
        BASELINE.write_text(old)  # and this time a person puts the old text back
        assert settle(lab.ledger, BASELINE).fingerprint == baseline.fingerprint


def test_every_variant_of_every_family_trains_a_few_steps_and_is_judged(home: Path) -> None:
    recipe = Recipe.load(write_tiny(BASELINE, budget__tokens=64 * 3, model__layers=2))
    variants = all_variants(recipe)
    assert len(variants) > 60
    failures = {}
    with small_lab() as lab:
        asks = []
        for text in variants:
            mutated = mutate(recipe, text)[0]
            try:
                asks.append((text, lab.arm_of(mutated, mutated.step_tokens * 3)))
            except FoundryError as error:
                failures[text] = str(error)
        results = lab.gather([(arm, 1) for _, arm in asks])
        failures |= {text: f"{r.reason}: {r.detail}" for (text, _), r in zip(asks, results, strict=True) if not r.ok}
    allowed = {text for text in failures if text.startswith("data:") and "no document" in failures[text]}
    assert failures.keys() <= allowed, failures


def test_what_is_promoted_trains_as_it_was_judged(home: Path) -> None:
    write_tiny(BASELINE, train__optimizer__lr=1e-5, budget__tokens=64 * 40)
    with small_lab() as lab:
        document = run_sweep(lab, "lr:1e-2+depth:2", promote=True)
        promoted, judged = Recipe.load(BASELINE), document["verdict"]["arms"][1]
    assert document["promoted"] == "lr:1e-2+depth:2" and document["verdict"]["match"] == "flops"
    assert promoted.budget.tokens == judged["budget_tokens"] < 64 * 40
    reference = document["record"]["reference"]
    assert reference["flops"] == pytest.approx(document["baseline"]["budget_flops"])
    assert abs(reference["steps_beyond"]) <= 0.5 and judged["reference"] == reference
    assert promoted.fingerprint == judged["recipe"]
