"""What code spends: honest parts pass, what buys its gain with more than its budget is rejected, in each tier."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import spending
from foundry import sandbox
from foundry.compare import comparison
from foundry.compare.calibrate import candidate_arm
from foundry.compare.comparison import Question
from foundry.compare.match import Arm
from foundry.compare.session import Lab
from foundry.core.errors import Killed, RunFailure
from foundry.execute.linux import kills_for_memory
from foundry.execute.untrusted import harness
from foundry.execute.untrusted.child_handle import ChildHandle
from foundry.recipe import Recipe
from foundry.stats.sequential_test import Plan

pytestmark = pytest.mark.skipif(not sandbox.probe().at_least("landlock"), reason="this machine has no sandbox")
TIERS = [tier for tier in ("landlock", "bubblewrap") if sandbox.probe().at_least(tier)]
ACTIVATION = "model.activation"
Bench = tuple[Lab, Arm]


@pytest.fixture(scope="module", params=TIERS)
def bench(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch, spending.home(tmp_path_factory.mktemp("spending") / "home"):
        patch.setenv("FOUNDRY_CACHE", str(cache))
        patch.setattr(comparison, "_is_of_code", lambda question: False)  # no second text is asked for
        with spending.small_lab(request.param) as lab:
            yield lab, lab.arm_of(Recipe.load(Path("baseline.yaml")))


@pytest.mark.parametrize("kind", ["own_gelu", "by_hand", "looks_up"])
def test_honest_code_spends_what_is_counted(bench: Bench, kind: str) -> None:
    found = spending.spent(*bench, ACTIVATION, kind, [1])
    assert found.passed and found.ratios, found


@pytest.mark.parametrize("kind", ["replays", "forges_flops", "works_unseen", "warms", "learns_when_judged"])
def test_a_gain_that_was_bought_is_seen_by_its_cpu_seconds_and_not_by_what_it_says(bench: Bench, kind: str) -> None:
    found = spending.spent(*bench, ACTIVATION, kind, [1])
    assert found.gain_bpb > 0.3, "by its score it would be promoted"
    assert found.ratios and not found.passed, found


def test_who_kills_itself_is_not_taken_up_again_from_a_checkpoint_of_its_own_making(bench: Bench) -> None:
    found = spending.spent(*bench, ACTIVATION, "kills_itself", [1])
    assert not found.passed and found.why == "crash: the process of the model's code was ended by SIGKILL"


@pytest.mark.parametrize(("kills_more", "kind"), [(0, RunFailure), (1, Killed)])
def test_only_a_kill_that_the_kernel_counts_is_the_machines_and_nothing_is_gone_on_from(
    tmp_path: Path, kills_more: int, kind: type[RunFailure]
) -> None:
    child, left = ChildHandle.__new__(ChildHandle), tmp_path / "checkpoint"
    child.last, child.exit_code, child._kills_before = {}, -signal.SIGKILL, kills_for_memory() - kills_more
    left.mkdir()
    with pytest.raises(RunFailure) as failed:
        harness._Training._claims(SimpleNamespace(out=tmp_path), child)  # type: ignore[arg-type]
    assert type(failed.value) is kind and left.exists() == (kind is RunFailure)


def answer(lab: Lab, arms: tuple[Arm, Arm], match: Any = "flops") -> comparison.Verdict:
    plan: dict[str, Any] = {"rules": vars(Plan(0.25, 0.05, 3)), "seeds": [11, 12, 13], "remeasure": [14]}
    return comparison._answer(lab, Question(*arms, match, "certification"), "an identity", plan, lambda *pair: None)[0]


def test_eight_steps_on_each_batch_are_promoted_where_cpu_is_not_counted_and_rejected_where_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, baseline = bench
    greedy, match = candidate_arm(lab, baseline, spending.recipe(ACTIVATION, "eight_steps"), None)
    assert (greedy.tokens, greedy.flops, match) == (baseline.tokens, baseline.flops, "tokens"), "as if it were honest"
    with monkeypatch.context() as without:
        without.setattr(comparison, "spending", lambda found, *scores: found)
        assert answer(lab, (baseline, greedy)).word == "better"
    found = answer(lab, (baseline, greedy))
    assert found.word == "rejected" and "CPU seconds for each counted FLOP" in found.reasons[-1]


def test_tokens_that_a_rehearsal_was_cheated_for_are_rejected(bench: Bench) -> None:
    lab, baseline = bench
    honest = lab.arm_of(spending.recipe(ACTIVATION, "own_gelu"))
    cheated = replace(honest, tokens=4 * baseline.tokens)
    assert "matched seconds" in answer(lab, (baseline, cheated), "seconds").reasons[-1]


def test_who_leaves_before_the_clock_is_read_has_spent_all_the_same_or_has_no_result(bench: Bench) -> None:
    found = spending.spent(*bench, ACTIVATION, "leaves_first", [1])
    assert not found.passed
    assert found.ratios or "before its CPU clock could be read" in found.why, found
