"""One text as characters, in the form that nanoGPT reads and in the form that Foundry reads; one loss for both.

The split is nanoGPT's: the first nine tenths train. May not: train anything.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foundry.data import manifest_dir


@dataclass(frozen=True)
class Characters:
    """train_dir: a Foundry training folder; validation: int64 [n]."""

    train_dir: Path
    validation: Tensor
    vocab_size: int


def prepare(text: str, nanogpt_data: Path, train_dir: Path) -> Characters:
    """Write both forms of `text`: nanoGPT's `train.bin`, `val.bin`, `meta.pkl`, and a sealed `tokens.bin`."""
    alphabet = sorted(set(text))
    number = {character: i for i, character in enumerate(alphabet)}
    ids = np.array([number[character] for character in text], dtype=np.uint16)
    train, validation = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]
    nanogpt_data.mkdir(parents=True, exist_ok=True)
    train.tofile(nanogpt_data / "train.bin")
    validation.tofile(nanogpt_data / "val.bin")
    meta = {"vocab_size": len(alphabet), "itos": dict(enumerate(alphabet)), "stoi": number}
    (nanogpt_data / "meta.pkl").write_bytes(pickle.dumps(meta))
    return Characters(write_tokens(train, train_dir), torch.from_numpy(validation.astype(np.int64)), len(alphabet))


def write_tokens(ids: np.ndarray, train_dir: Path) -> Path:
    """Ids as a folder that `data.stream.open_tokens` opens."""
    train_dir.mkdir(parents=True, exist_ok=True)
    ids.tofile(train_dir / "tokens.bin")
    manifest_dir.seal(train_dir, {"dtype": str(ids.dtype)})
    return train_dir


@torch.inference_mode()
def full_pass(logits_of: Callable[[Tensor], Tensor], validation: Tensor, context: int, rows: int = 256) -> float:
    """Nats per token over all of `validation`, cut into windows of `context` that don't overlap. Fixed: no draw."""
    count = (len(validation) - 1) // context
    inputs = validation[: count * context].view(count, context)
    targets = validation[1 : count * context + 1].view(count, context)
    total = 0.0
    for x, y in zip(inputs.split(rows), targets.split(rows), strict=True):
        total += F.cross_entropy(logits_of(x).flatten(0, 1).double(), y.flatten(), reduction="sum").item()
    return total / targets.numel()
