"""One entry, made, trained a little, judged, and shown to a plain evaluator. Everything is small.

The text is of words drawn by Zipf's law, one byte a token, so that there is something to learn in fifty steps.
Shapes: B rows, T context. May not: touch the ledger, or read a corpus.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.cheats.catalogue import Entry
from foundry.core.errors import RunFailure
from foundry.core.section import validate
from foundry.judge.model_server import Job
from foundry.judge.worker import judge
from foundry.model import ModelConfig, build, initialise
from foundry.train import checkpoint
from foundry.train.config import TrainConfig
from foundry.train.loop import train
from foundry.train.state import TrainState

LETTERS = "abcdefghijklmnopqrstuvwxyz \n"
VOCAB = len(LETTERS)
ROWS = 16
TRAIN: dict[str, Any] = {
    "batch_size": ROWS,
    "loss": "cross_entropy",
    "optimizer": {"kind": "adamw", "lr": 1e-2},
    "schedule": "cosine",
}
CALL_SECONDS = 30.0


@dataclass(frozen=True)
class Text:
    """A stretch: ids [n + 1], and the bytes that the last n stand for."""

    ids: np.ndarray
    bytes: int


@dataclass
class Line:
    """Hears a worker, and forgets."""

    stopping: bool = False
    told: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, **facts: Any) -> None:
        self.told.append(facts)


@cache
def text(seed: int, letters: int) -> np.ndarray:
    """Ids of words that all seeds have in common, in an order of the seed's own."""
    words = np.random.default_rng(7)
    lexicon = ["".join(words.choice(list(LETTERS[:26]), words.integers(2, 8))) for _ in range(200)]
    share = 1 / np.arange(1, 201)
    draw = np.random.default_rng(seed)
    chosen = draw.choice(200, letters // 4, p=share / share.sum())
    joined = " ".join(lexicon[i] + ("\n" if i % 9 == 0 else "") for i in chosen)[:letters]
    return np.array([LETTERS.index(letter) for letter in joined], np.int64)


def stretches(seed: int, count: int = 20, length: int = 64) -> list[Text]:
    ids = text(1_000_000 + seed, count * (length + 1) + 1)
    return [Text(ids[i * length : (i + 1) * length + 1], length) for i in range(count)]


@contextmanager
def workspace(folder: Path) -> Iterator[None]:
    before = os.environ.get("FOUNDRY_WORKSPACE")
    os.environ["FOUNDRY_WORKSPACE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["FOUNDRY_WORKSPACE"]
        else:
            os.environ["FOUNDRY_WORKSPACE"] = before


def prepare(entry: Entry, folder: Path, seed: int, steps: int, precision: str = "fp32") -> Job:
    """The entry after so many steps (0: fresh), as a job for the judge."""
    config = validate(TrainConfig, {**TRAIN, "precision": precision, **entry.train}, "train")
    model = build(validate(ModelConfig, entry.section, "model"), VOCAB)
    initialise(model, seed)
    state = TrainState.fresh(model, config)
    ids, context = torch.from_numpy(text(seed, 20_000)), entry.section["context"]

    def batch_at(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1000 * seed + step)
        starts = torch.randint(len(ids) - context - 1, (ROWS,), generator=generator)
        return torch.stack([ids[start : start + context + 1] for start in starts.tolist()])

    for _ in train(state, model, batch_at, config, seed=seed, steps=steps):
        pass
    checkpoint.save(folder / "checkpoint", state, {"identity": "cheats"}, finished=True)
    return Job(
        model=entry.section,
        vocab_size=VOCAB,
        checkpoint=folder / "checkpoint",
        device="cpu",
        threads=1,
        precision=precision,
    )


def judged(job: Job, seed: int) -> tuple[float | None, str]:
    """(bits per byte, "") or (None, why not)."""
    try:
        return judge(job, lambda: stretches(seed), Line(), CALL_SECONDS, made_up=True).bpb, ""
    except RunFailure as failure:
        return None, str(failure)


def plain_bits_per_byte(job: Job, seed: int) -> float:
    """What a usual evaluation loop reports: windows in batches through the model, the targets beside them."""
    model = build(validate(ModelConfig, job.model, "model"), job.vocab_size).eval()
    checkpoint.load_weights(job.checkpoint, model)
    ids = torch.stack([torch.from_numpy(stretch.ids) for stretch in stretches(seed)])
    windows = ids.unfold(1, job.context + 1, job.context).flatten(0, 1)
    nats = 0.0
    with torch.no_grad():
        for batch in windows.split(ROWS):
            logits = model(batch[:, :-1]).float()
            nats += F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum").item()
    return nats / math.log(2) / windows[:, 1:].numel()
