"""A part of the corpus in every test run: no leak gets a score, no honest model is refused (`make cheats` does all)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.cheats import catalogue, trial
from benchmarks.cheats.catalogue import Entry

pytestmark = pytest.mark.usefixtures("admitted")
LEAKS = {entry.name: entry for entry in catalogue.leaks()}
ZOO = {entry.name: entry for entry in catalogue.zoo()}
FOOLING = (
    "attention:by_statistics",
    "attention:at_plausible_junctions",
    "attention:repeats_itself",
    "attention:without_gradient",
    "model:copies",
)
"""Each takes a plain evaluation in, even on fresh weights."""
SUBTLE = (
    "attention:knows_the_order",
    "attention:weak",
    "attention:softmax_over_all",
    "activation:full_experts",
    "norm:over_batch",
)
TRAINED = ("attention:block_wise", "position:reads_ahead")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def attempt(entry: Entry, folder: Path, steps: int = 0, precision: str = "fp32") -> tuple[float | None, float, str]:
    """(judged, plain, why not) bits per byte."""
    with trial.workspace(entry.workspace):
        job = trial.prepare(entry, folder, seed=1, steps=steps, precision=precision)
        bpb, why = trial.judged(job, seed=1)
        return bpb, trial.plain_bits_per_byte(job, seed=1), why


@pytest.mark.parametrize("name", FOOLING)
def test_a_leak_that_fools_a_plain_evaluation_gets_no_score(name: str, tmp_path: Path) -> None:
    honest = attempt(Entry("honest", catalogue.workspace("leaks"), {"layers": 1}), tmp_path / "honest")
    bpb, plain, why = attempt(LEAKS[name], tmp_path / "leak")
    assert plain < honest[1] - 0.5
    assert bpb is None and why.startswith(("leak", "invalid"))


@pytest.mark.parametrize("name", SUBTLE)
def test_a_leak_too_weak_to_pay_gets_no_score_either(name: str, tmp_path: Path) -> None:
    assert attempt(LEAKS[name], tmp_path)[0] is None


@pytest.mark.parametrize("name", TRAINED)
def test_a_leak_that_was_trained_on_gets_no_score(name: str, tmp_path: Path) -> None:
    bpb, plain, _ = attempt(LEAKS[name], tmp_path, steps=40)
    assert bpb is None and plain < 2.95


@pytest.mark.parametrize(("name", "precision"), [*zip(ZOO, ["fp32", "bf16"] * len(ZOO), strict=False)])
def test_an_honest_model_is_judged_as_a_plain_evaluation_would(name: str, precision: str, tmp_path: Path) -> None:
    bpb, plain, why = attempt(ZOO[name], tmp_path, precision=precision)
    assert bpb is not None, why
    assert bpb == pytest.approx(plain, rel=1e-6 if precision == "fp32" else 1e-2)


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(LEAKS) >= 30 and len(ZOO) >= 20
