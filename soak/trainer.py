"""Workers that train nothing: a score is a function of recipe and seed. May not: import torch."""

from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path
from typing import Any

from foundry.execute.progress_channel import Line

NOISE_BPB = 0.02
WEIGHTS_BYTES = 3_200_000
"""What the baseline's take, as far as files' sizes tell: they are holes."""
WEIGHTS_FILES = 4
"""So that each is below what the trial of a full disk allows a file."""


def train(payload: dict[str, Any], line: Line) -> dict[str, Any]:
    """Takes a few milliseconds, in which it may be killed like any other."""
    line.tell(step=1)
    time.sleep(0.002)
    folder = Path(payload["out"]) / "checkpoint"
    folder.mkdir(parents=True, exist_ok=True)
    for part in range(WEIGHTS_FILES):
        with (folder / f"weights.{part}").open("wb") as file:
            file.truncate(WEIGHTS_BYTES // WEIGHTS_FILES)
    (folder / "fake.json").write_text(json.dumps([payload["model"], payload["train"], payload["seed"]]))
    return {"status": "done", "steps": payload["steps"], "tokens": payload["steps"] * 64, "train_loss": 1.0,
            "seconds": 0.002, "setup_seconds": 0.0, "compiled": False}  # fmt: skip


def judge(payload: dict[str, Any], line: Line) -> dict[str, Any]:
    line.tell(step=1)
    model, training, seed = json.loads((Path(payload["checkpoint"]) / "fake.json").read_text())
    bpb = truth(model, training) + noise(seed, payload["split"], json.dumps([model, training]))
    return {"bpb": bpb, "bytes": 1, "tokens": 1, "seconds": 0.0, "tier": "none", "probes": {}}


def truth(model: dict[str, Any], training: dict[str, Any]) -> float:
    """A learning rate of 0.004 is best; RMSNorm and rotary positions help a little."""
    bpb = 3.0 + 0.02 * math.log2(training["optimizer"]["lr"] / 4e-3) ** 2
    bpb -= 0.05 * (model["norm"]["kind"] == "rmsnorm") + 0.05 * (model["position"]["kind"] == "rope")
    return bpb


def noise(seed: int, split: str, content: str) -> float:
    """Of a run; half of its variance is the seed's own, shared by a pair."""
    shared, own = random.Random(f"{seed}|{split}"), random.Random(f"{seed}|{split}|{content}")
    return shared.gauss(0, NOISE_BPB / 2) + own.gauss(0, NOISE_BPB / 2)
