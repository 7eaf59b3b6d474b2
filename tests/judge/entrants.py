"""What the judge's tests share: text, contestants with and without tricks, and the plain evaluator as the yardstick."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from foundry.core.section import validate
from foundry.judge.model_server import Job
from foundry.model import GPT, ModelConfig, initialise
from foundry.train import checkpoint
from foundry.train.state import TrainState

WORKSPACE = Path(__file__).parent / "workspace"
VOCAB = 48


@dataclass(frozen=True)
class Text:
    """A stretch: ids [n + 1] and the bytes that the last n of them stand for."""

    ids: np.ndarray
    bytes: int


@dataclass
class Line:
    """A controller's line that writes down what it hears."""

    stopping: bool = False
    told: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, **facts: Any) -> None:
        self.told.append(facts)


def stretches(count: int = 12, length: int = 70, vocab_size: int = VOCAB, seed: int = 0) -> list[Text]:
    """Text with some order in it: each token is mostly near the one before. Every id is of one byte."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-3, 4, (count, length + 1))
    ids = (rng.integers(0, vocab_size, (count, 1)) + steps.cumsum(1)) % vocab_size
    return [Text(row.astype(np.uint16), length) for row in ids]


def model_section(trick: str = "none", context: int = 32, width: int = 24) -> dict[str, Any]:
    return {
        "layers": 1,
        "width": width,
        "context": context,
        "attention": {"kind": "tempted", "trick": trick},
        "norm": {"kind": "unit"},
        "activation": {"kind": "none"},
        "position": {"kind": "absent"},
        "init_std": 0.3,
    }


def entrant(folder: Path, model: dict[str, Any], vocab_size: int = VOCAB, seed: int = 0, **changes: Any) -> Job:
    """A checkpoint of a freshly initialised model, as a job for the judge."""
    gpt = GPT(validate(ModelConfig, model, "model"), vocab_size)
    initialise(gpt, seed)
    weights = {name: tensor.detach() for name, tensor in gpt.named_parameters()}
    state = TrainState(gpt, torch.optim.SGD(gpt.parameters()), weights, None, 0.0)
    checkpoint.save(folder / "checkpoint", state, {"identity": "test"}, finished=True)
    job = {"precision": "fp32", "device": "cpu", "threads": 1, **changes}
    return Job(model=model, vocab_size=vocab_size, checkpoint=folder / "checkpoint", **job)


def plain_bits_per_byte(job: Job, texts: list[Text], rows: int = 5) -> float:
    """What a usual evaluation loop reports: the model called on windows, the targets beside it, in this process."""
    gpt = GPT(validate(ModelConfig, job.model, "model"), job.vocab_size).eval()
    for name, tensor in checkpoint.load_weights(job.checkpoint).items():
        gpt.get_parameter(name).data = tensor
    windows = []
    for text in texts:
        ids = torch.from_numpy(text.ids.astype(np.int64))
        windows += [
            (ids[i:-1][: job.context], ids[i + 1 :][: job.context]) for i in range(0, len(ids) - 1, job.context)
        ]
    nats = 0.0
    with torch.no_grad():
        for length in sorted({len(x) for x, _ in windows}):
            same = [(x, y) for x, y in windows if len(x) == length]
            for at in range(0, len(same), rows):
                x = torch.stack([x for x, _ in same[at : at + rows]])
                y = torch.stack([y for _, y in same[at : at + rows]])
                nats += F.cross_entropy(gpt(x).double().flatten(0, 1), y.flatten(), reduction="sum").item()
    return nats / math.log(2) / sum(text.bytes for text in texts)
