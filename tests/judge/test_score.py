"""The judged score: that of an honest model is the plain one, and no model is scored on what it saw of the future."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foundry.core.errors import Killed, RequestError, RunFailure, WorkError
from foundry.judge import channel, score
from foundry.judge.score import Tolerance
from foundry.judge.windows import cut_windows
from foundry.judge.worker import judge
from foundry.stats.plausible import quarantine
from tests.judge import entrants


@pytest.fixture(autouse=True)
def workspace(monkeypatch: pytest.MonkeyPatch, admitted: None):
    torch.set_num_threads(1)
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(entrants.WORKSPACE))


def judged(
    job: Any, texts: list[entrants.Text], call_seconds: float = 30.0, sampled: bool = False, made_up: bool = True
) -> score.Score:
    return judge(job, lambda: texts, entrants.Line(), call_seconds, sampled, made_up)


BUILT_IN = {
    "layers": 2,
    "width": 32,
    "context": 40,
    "attention": {"kind": "gqa", "heads": 4, "kv_heads": 2},
    "norm": "rmsnorm",
    "activation": "swiglu",
    "position": "rope",
    "init_std": 0.2,
}
VARIED = [{}, {"position": "alibi"}, {"position": "learned"}, {"norm": "layernorm", "activation": "gelu"}]


@pytest.mark.parametrize("change", VARIED, ids=str)
def test_an_honest_models_score_is_the_plain_evaluation_to_float_precision(tmp_path: Path, change: dict[str, Any]):
    texts = entrants.stretches(10, 95)
    job = entrants.entrant(tmp_path, BUILT_IN | change)
    found = judged(job, texts)
    assert found.bpb == pytest.approx(entrants.plain_bits_per_byte(job, texts), rel=1e-7)
    assert (found.splice_gap, found.tokens, found.bytes) == (0.0, 950, 950)


def test_an_honest_model_is_judged_in_bf16(tmp_path: Path):
    texts = entrants.stretches(10, 95)
    job = entrants.entrant(tmp_path, BUILT_IN, precision="bf16")
    assert judged(job, texts).bpb == pytest.approx(entrants.plain_bits_per_byte(job, texts), rel=1e-3)


def test_judging_again_gives_the_same_score_bit_by_bit_whatever_the_secret(tmp_path: Path):
    job = entrants.entrant(tmp_path, BUILT_IN)
    assert judged(job, entrants.stretches()).bpb == judged(job, entrants.stretches()).bpb


def test_a_sample_gives_the_score_of_all_windows_bit_by_bit_for_an_eighth_of_the_cuts(tmp_path: Path):
    job = entrants.entrant(tmp_path, BUILT_IN)
    whole, sampled = (judged(job, entrants.stretches(40), sampled=each) for each in (False, True))
    assert sampled.bpb == whole.bpb
    assert (sampled.cuts, sampled.splice_gap, sampled.order_gap_nats) == (80 // 8, 0.0, 0.0)
    assert sampled.cuts < whole.cuts


@pytest.mark.parametrize(("trick", "reason"), {"future": "leak", "batch_mean": "leak", "chance": "invalid"}.items())
def test_what_sees_more_than_it_should_fails_a_sample_too(tmp_path: Path, trick: str, reason: str):
    with pytest.raises(RunFailure) as caught:
        judged(entrants.entrant(tmp_path, entrants.model_section(trick)), entrants.stretches(40), sampled=True)
    assert caught.value.reason == reason


def test_what_a_sample_takes_back_is_for_all_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(score.TOLERANCES, "fp32", Tolerance(1e9, 1e9))
    monkeypatch.setattr("foundry.judge.worker.secrets.randbits", lambda bits: 7)
    found, scored = [], score.Judging.score

    def noted(judging: score.Judging) -> score.Score:
        result = scored(judging)
        found.append(judging.leaked_nats)
        return result

    monkeypatch.setattr(score.Judging, "score", noted)
    job = entrants.entrant(tmp_path, entrants.model_section("faint"))
    for sampled in (False, True):
        judged(job, entrants.stretches(400), sampled=sampled)
    whole, sampled = found
    assert sampled == pytest.approx(whole, rel=0.2) and whole > 1000, "the few cuts stand for all positions"


def test_a_large_vocabulary_streams_in_slices_to_the_same_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    texts = entrants.stretches(8, 50, vocab_size=300)
    job = entrants.entrant(tmp_path, entrants.model_section(), vocab_size=300)
    whole = judged(job, texts).bpb
    monkeypatch.setattr(channel, "SLICE_FLOATS", 300 * 7)
    assert judged(job, texts).bpb == whole


# What a plain evaluation is fooled by. `rows` as usual there; the judge's batches have other sizes.
GAINS = ["future", "blockwise", "rarely", "gradient_off", "large_batch", "later_calls", "repeating_itself"]


@pytest.mark.parametrize("trick", GAINS)
def test_a_model_that_uses_the_future_gets_no_score_where_a_plain_evaluation_is_fooled(tmp_path: Path, trick: str):
    texts = entrants.stretches(40)
    honest = entrants.plain_bits_per_byte(entrants.entrant(tmp_path / "honest", entrants.model_section()), texts)
    job = entrants.entrant(tmp_path / "trick", entrants.model_section(trick))
    assert entrants.plain_bits_per_byte(job, texts) < honest - 0.2
    with pytest.raises(RunFailure) as caught:
        judged(job, texts)
    assert caught.value.reason == ("invalid" if trick == "later_calls" else "leak")


FAILURES = {
    "far_future": ("leak", "the model sees the future"),
    "weak": ("leak", "the model sees the future"),
    "other_rows": ("leak", "other rows"),
    "batch_mean": ("leak", "other rows"),
    "chance": ("invalid", "draws at random"),
    "dropout": ("invalid", "draws at random"),
    "not_finite": ("nan", "not a finite number"),
    "too_wide": ("invalid", "floating-point logits"),
    "not_a_tensor": ("invalid", "returned"),
    "raises": ("crash", "IndexError: index 10000"),
    "exits": ("crash", "exit code 0"),
    "system_exit": ("crash", "SystemExit: 3"),
    "segfault": ("crash", "SIGSEGV"),
    "shrinks_the_block": ("crash", "PermissionError"),
    "hangs_up": ("crash", "broke off its channel"),
    "memory": ("oom", "allocate"),
}


@pytest.mark.parametrize("trick", FAILURES)
def test_a_failure_has_a_reason_and_says_what_was_seen(tmp_path: Path, trick: str):
    reason, seen = FAILURES[trick]
    with pytest.raises(RunFailure) as caught:
        judged(entrants.entrant(tmp_path, entrants.model_section(trick)), entrants.stretches(24))
    assert (caught.value.reason, seen in caught.value.detail) == (reason, True), caught.value


def test_a_model_that_remembers_earlier_calls_gets_no_score(tmp_path: Path):
    # Which reason is chance: what it recalled may be seen first in the home of a window or where it is spliced.
    with pytest.raises(RunFailure) as caught:
        judged(entrants.entrant(tmp_path, entrants.model_section("remembering")), entrants.stretches(24))
    assert caught.value.reason in ("leak", "invalid"), caught.value


def test_a_model_that_never_answers_is_a_timeout(tmp_path: Path):
    with pytest.raises(RunFailure, match="timeout"):
        judged(entrants.entrant(tmp_path, entrants.model_section("sleeps")), entrants.stretches(), call_seconds=0.5)


def test_a_failure_is_shown_as_printable_words_on_one_line(tmp_path: Path):
    with pytest.raises(RunFailure) as caught:
        judged(entrants.entrant(tmp_path, entrants.model_section("shouts")), entrants.stretches())
    assert caught.value.detail.isprintable() and "[31mverdict: better" in caught.value.detail


@pytest.mark.parametrize("trick", ["shouts", "raises", "exits", "far_future"])
def test_what_has_seen_judged_text_has_no_words_of_its_own(tmp_path: Path, trick: str):
    job = entrants.entrant(tmp_path, entrants.model_section(trick))
    told = []
    for seed in (0, 1):  # another text, another secret: what is said is the same
        with pytest.raises(RunFailure) as caught:
            judged(job, entrants.stretches(24, seed=seed), made_up=False)
        told.append((caught.value.reason, caught.value.detail))
    assert told[0] == told[1] and not any(digit in told[0][1] for digit in "0123456789")
    assert "verdict" not in told[0][1] and "IndexError" not in told[0][1]


def test_a_witness_that_ends_itself_clears_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def gone(*asked: Any) -> bool:
        raise Killed("the model's process was ended by SIGKILL")

    monkeypatch.setattr(score.Judging, "_witness_differs", gone)
    with pytest.raises(RunFailure) as caught:
        judged(entrants.entrant(tmp_path, entrants.model_section("far_future")), entrants.stretches(24))
    assert caught.value.reason == "leak"


def test_what_earlier_calls_gave_within_the_tolerance_is_paid_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(score.TOLERANCES, "fp32", Tolerance(1e9, 1e9))
    texts = entrants.stretches(40)
    honest = judged(entrants.entrant(tmp_path / "honest", entrants.model_section()), texts)
    job = entrants.entrant(tmp_path / "trick", entrants.model_section("later_calls"))
    assert entrants.plain_bits_per_byte(job, texts) < honest.bpb - 0.2 < judged(job, texts).bpb


def test_what_is_gained_within_the_tolerance_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(score.TOLERANCES, "fp32", Tolerance(1e9, 1e9))
    texts = entrants.stretches(60)
    honest = judged(entrants.entrant(tmp_path / "honest", entrants.model_section()), texts)
    job = entrants.entrant(tmp_path / "trick", entrants.model_section("faint"))
    gained = honest.bpb - entrants.plain_bits_per_byte(job, texts)
    assert gained > 0.1
    assert judged(job, texts).bpb > honest.bpb - gained / 4


@pytest.mark.parametrize(("length", "context"), list(itertools.product([1, 7, 8, 9, 40], [2, 8])))
def test_every_token_is_predicted_exactly_once_from_all_that_its_window_has(length: int, context: int):
    texts = [entrants.Text(np.arange(length + 1) + 100 * i, 3 * length) for i in range(3)]
    windows = cut_windows(texts, context, vocab_size=1000)
    assert sorted(windows.targets[windows.real]) == sorted(id for text in texts for id in text.ids[1:])
    assert (windows.targets - windows.inputs)[windows.real].tolist() == [1] * 3 * length
    assert windows.bytes == 9 * length


def test_unfit_text_is_refused_before_it_is_scored():
    with pytest.raises(WorkError, match="too_little_text"):
        cut_windows(entrants.stretches(1, 20), 32, entrants.VOCAB)
    with pytest.raises(WorkError, match="other_vocabulary"):
        cut_windows(entrants.stretches(4, 20), 32, 3)


def test_an_unknown_precision_is_refused(tmp_path: Path):
    with pytest.raises(RequestError, match="fp32, bf16"):
        judged(entrants.entrant(tmp_path, entrants.model_section(), precision="fp8"), entrants.stretches())


def test_an_implausible_score_is_kept_for_a_person_and_a_plausible_one_is_not():
    assert quarantine(0.002, None) and quarantine(0.9, reference_bpb=1.9)
    assert not quarantine(1.5, None) and not quarantine(1.5, reference_bpb=1.9)
