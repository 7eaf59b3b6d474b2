"""An interrupted run is the uninterrupted one, bit for bit; and this file would notice if it weren't."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from foundry.core.section import validate
from foundry.model import build
from foundry.train import checkpoint, worker
from foundry.train.progress import LocalLine
from foundry.train.state import TrainState


class StopAt:
    """A line that asks to stop once so many steps were begun, by counting how often it is asked."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    @property
    def stopping(self) -> bool:
        self.left -= 1
        return self.left <= 0

    def tell(self, **facts: Any) -> None: ...


def trace(out: Path) -> dict[str, Any]:
    """All that two equal runs share: every file's hash in the checkpoint, and the losses."""
    files = json.loads((out / "checkpoint" / "manifest.json").read_text())["files"]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["seconds"]
    return {"rows": rows, **{name: entry["sha256"] for name, entry in files.items() if name != "state.json"}}


def run(payload: dict[str, Any], out: Path, *interruptions: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train in `out` with a stop after each of `interruptions` steps more, then to the end if the last is 0."""
    result: dict[str, Any] = {}
    for steps in interruptions:
        result = worker.main({**payload, "out": str(out)}, StopAt(steps) if steps else LocalLine())
    return trace(out), result


@pytest.fixture(scope="module")
def draw() -> random.Random:
    return random.Random(20)


@pytest.mark.parametrize("attempt", range(3))
def test_a_run_interrupted_at_random_steps_ends_as_the_uninterrupted_one(
    payload: dict[str, Any], tmp_path: Path, draw: random.Random, attempt: int
) -> None:
    whole, whole_result = run(payload, tmp_path / "whole", 0)
    stops = [draw.randint(1, 9) for _ in range(3)]
    parts, parts_result = run(payload, tmp_path / "parts", *stops, 0)
    assert parts == whole, f"interrupted after {stops}"
    assert len(whole["rows"]) == payload["steps"] and whole["ema.safetensors"] != whole["model.safetensors"]
    assert parts_result["train_loss"] == whole_result["train_loss"]
    assert parts_result["status"] == whole_result["status"] == "done"


def test_the_optimizer_too_is_the_same_after_an_interruption(payload: dict[str, Any], tmp_path: Path) -> None:
    whole, result = run(payload, tmp_path / "whole", 21)
    parts, _ = run(payload, tmp_path / "parts", 8, 13)
    assert result["status"] == "interrupted" and result["steps"] == 21
    assert parts == whole and "optimizer.safetensors" in whole


def altered(place: Path, name: str) -> None:
    """Change one bit of one number in a checkpoint's file, and the manifest so that it vouches for it."""
    tensors = safetensors.torch.load_file(place / name)
    largest = max(tensors.values(), key=torch.Tensor.numel)
    largest.view(torch.int32).flatten()[5] ^= 1 << 12  # a few thousandths of its size
    safetensors.torch.save_file(tensors, place / name)
    manifest = json.loads((place / "manifest.json").read_text())
    (place / name).rename(place / "old")
    manifest["files"][name] = checkpoint._write(place / name, (place / "old").read_bytes())
    (place / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "optimizer.safetensors"])
def test_one_altered_bit_of_the_state_makes_another_run(payload: dict[str, Any], tmp_path: Path, name: str) -> None:
    whole, _ = run(payload, tmp_path / "whole", 0)
    run(payload, tmp_path / "parts", 10)
    altered(tmp_path / "parts" / "checkpoint", name)
    parts, _ = run(payload, tmp_path / "parts", 0)
    assert parts != whole


def test_dropout_is_part_of_what_is_resumed(
    payload: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = run(payload, tmp_path / "whole", 0)
    run(payload, tmp_path / "parts", 10)
    monkeypatch.setattr("foundry.train.device.reseeder", lambda place: lambda seed: None)
    parts, _ = run(payload, tmp_path / "parts", 0)
    assert parts != whole


def test_steps_after_the_last_checkpoint_are_made_again_and_listed_once(
    payload: dict[str, Any], tmp_path: Path
) -> None:
    whole, _ = run(payload, tmp_path / "whole", 0)
    run(payload, tmp_path / "parts", 10)
    with open(tmp_path / "parts" / "metrics.jsonl", "a") as file:  # killed later: lines ahead of it, the last one cut
        file.write('{"step": 11, "loss": 9.0}\n{"step": 12, "lo')
    parts, _ = run(payload, tmp_path / "parts", 0)
    assert parts == whole


def test_a_finished_run_is_not_trained_again(payload: dict[str, Any], tmp_path: Path) -> None:
    whole, first = run(payload, tmp_path / "whole", 0)
    again, second = run(payload, tmp_path / "whole", 0)
    assert again == whole
    assert {k: v for k, v in second.items() if k != "setup_seconds"} == {
        k: v for k, v in first.items() if k != "setup_seconds"
    }


def test_another_run_does_not_go_on_from_this_ones_checkpoint(payload: dict[str, Any], tmp_path: Path) -> None:
    run(payload, tmp_path / "run", 5)
    with pytest.raises(worker.FoundryError, match=r"train\.other_run"):
        run({**payload, "seed": 4}, tmp_path / "run", 0)


@pytest.mark.parametrize("attempt", range(2))
def test_a_killed_run_ends_as_the_uninterrupted_one(
    payload: dict[str, Any], tmp_path: Path, draw: random.Random, attempt: int
) -> None:
    whole, _ = run(payload, tmp_path / "whole", 0)
    out, kills = tmp_path / "parts", 0
    busy = {**payload, "out": str(out), "checkpoint_seconds": 1e-9}  # always in the middle of saving
    for _ in range(5):
        process = multiprocessing.get_context("fork").Process(target=worker.main, args=(busy, LocalLine()))
        process.start()
        time.sleep(draw.uniform(0.05, 0.3))
        process.kill()
        process.join()
        kills += process.exitcode != 0
    parts, result = run(payload, out, 0)
    assert parts == whole and result["status"] == "done"
    assert kills, "it was over before it was killed"


@pytest.mark.parametrize("damage", ["torn", "another's", "no manifest"])
def test_a_torn_checkpoint_is_said_and_trained_again_from_the_start(
    payload: dict[str, Any], tmp_path: Path, damage: str
) -> None:
    whole, _ = run(payload, tmp_path / "whole", 0)
    run(payload, tmp_path / "torn", 5)
    folder = tmp_path / "torn" / "checkpoint"
    if damage == "torn":
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-40])
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    else:  # whole by its hashes, and no checkpoint of this model
        job = validate(worker.Job, {**payload, "out": str(tmp_path)})
        other = build(job.model.model_copy(update={"layers": 1}), job.vocab_size)
        checkpoint.save(folder, TrainState.fresh(other, job.train), {"identity": job.identity})
    told: list[dict[str, Any]] = []
    worker.main({**payload, "out": str(tmp_path / "torn")}, LocalLine(told.append))
    assert trace(tmp_path / "torn") == whole
    assert next(facts["note"] for facts in told if "note" in facts).startswith("trained again from the start")
