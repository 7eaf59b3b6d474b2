"""The benchmarks measure what they say: one loss for both sides, only the steps, arms in turn."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import measuring
from benchmarks.characters import full_pass, prepare
from benchmarks.contestants import NanoGPT, foundry_logits_of, train_foundry
from benchmarks.gpu import Bench
from foundry.core.section import validate
from foundry.data import stream
from foundry.model import GPT
from foundry.train.program import Job

TEXT = "to be or not to be, that is the question; " * 60

TRAIN = """
import time, torch, sys
exec(open('configurator.py').read())
torch.manual_seed(1337)
print("drew", torch.randint(10**6, (1,)).item())
assert open('data/benchmark/meta.pkl', 'rb').read(1)
time.sleep(0.3)
for i in range(6):
    print(f"iter {i}: loss 1.0, time 1.00ms, mfu 0.00%")
    time.sleep(0.06)  # longer than is asked for below: when a line arrives is not when it was written
time.sleep(0.3)
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def checkout(place: Path) -> Path:
    place.mkdir()
    (place / "train.py").write_text(TRAIN)
    (place / "configurator.py").write_text("assert '--log_interval=1' in sys.argv[1:]")
    (place / "data").mkdir()
    return place


def test_only_the_steps_are_timed_and_the_checkout_is_not_written_to(tmp_path: Path) -> None:
    source = checkout(tmp_path / "checkout")
    before = sorted(source.rglob("*"))
    nanogpt = NanoGPT(source, tmp_path / "work")
    prepare(TEXT, nanogpt.data, tmp_path / "tokens")
    timing = nanogpt.train({}, 1, 5, threads=1)
    assert 4 * 0.05 <= timing.seconds < timing.wall_seconds - 0.6
    assert sorted(source.rglob("*")) == before


def test_both_sides_read_the_same_characters(tmp_path: Path) -> None:
    text = prepare(TEXT, tmp_path / "data", tmp_path / "tokens")
    tokens = stream.open_tokens(text.train_dir)
    assert tokens.numpy().tobytes() == (tmp_path / "data" / "train.bin").read_bytes()
    assert len(tokens) + len(text.validation) == len(TEXT) and text.vocab_size == len(set(TEXT))


def test_the_full_pass_is_the_mean_over_every_token() -> None:
    ids = torch.arange(101) % 7
    chances = torch.full((7,), 0.1).index_fill(0, torch.tensor([3]), 0.4)
    loss = full_pass(lambda x: chances.log().expand(*x.shape, 7), ids, context=10, rows=3)
    targets = ids[1:101]
    assert loss == pytest.approx(-chances[targets].log().mean().item())
    assert full_pass(lambda x: torch.zeros(*x.shape, 7), ids, 10) == pytest.approx(math.log(7))


def test_arms_are_measured_in_turn() -> None:
    seen: list[str] = []
    arms = {name: lambda name=name: float(seen.append(name) or len(seen)) for name in "ab"}
    found = measuring.in_turn(arms, 2)
    assert seen == ["a", "b", "b", "a"] and found == {"a": [1.0, 4.0], "b": [2.0, 3.0]}
    assert measuring.paired_ratio([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == 2.0


def test_a_report_is_json_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measuring.report(
        "speed", {"load": 1}, [{"what": "x", "rate": 12345.6}, {"what": "y", "rate": None}], tmp_path / "r.json"
    )
    assert json.loads((tmp_path / "r.json").read_text())["rows"][1] == {"what": "y", "rate": None}
    assert "12,346" in capsys.readouterr().out


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return Bench(argparse.Namespace(tiny=True, minutes=1.0, nanogpt=None), tmp_path)


def test_foundrys_side_is_its_worker(bench: Bench) -> None:
    payload = bench.payload(bench.small, 4, "fp32")
    timing = train_foundry(payload, 2, 8)
    assert (timing.first, timing.last) == (2, 8) and 0 < timing.seconds < timing.wall_seconds
    logits_of, count = foundry_logits_of(payload)
    assert logits_of(torch.zeros(2, 5, dtype=torch.int64)).shape == (2, 5, 31) and count > 0


def test_populations_and_attention_kernels_are_timed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, Any]] = [*bench.population_rows(), *bench.attention_rows()]
    assert rows[0]["ratio"] == 1 and rows[1]["tokens/s"] > 0
    assert {row["what"] for row in rows if row["ratio"]} >= {"attention, math"}
    bench.deadline = 0.0
    assert bench.population_rows() == [] and bench.attention_rows()[0]["tokens/s"] is None


def test_mfu_is_the_standard_formula(bench: Bench) -> None:
    job = validate(Job, bench.payload(bench.big, 1, "fp32"))
    weights = sum(p.numel() for name, p in GPT(job.model, 31).named_parameters() if not name.startswith("position"))
    assert bench.mfu(1.0) == pytest.approx((6 * weights + 12 * 1 * 16 * 16) / 989e12)
