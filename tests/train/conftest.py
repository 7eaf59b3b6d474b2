"""A run small enough to train in a blink: real text, real parts, everything that has state switched on."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from foundry.data.config import DataConfig
from foundry.data.prepare import prepare

TEXT = "the quick brown fox jumps over the lazy dog while seven wizards mix a potion of liquid jade"


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    yield
    torch.set_deterministic_debug_mode("default")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, draw = tmp_path_factory.mktemp("corpus"), random.Random(1)
    for i in range(24):
        lines = (" ".join(draw.choices(TEXT.split(), k=8)) for _ in range(60))
        (folder / f"{i:02}.txt").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOUNDRY_CACHE", str(tmp_path_factory.mktemp("cache")))
        config = DataConfig.model_validate({"source": f"file:{folder}", "tokenizer": "char"})
        return prepare(config, lambda *_, **__: None)


@pytest.fixture
def payload(prepared: Any, tmp_path: Path) -> dict[str, Any]:
    """Dropout, an average and two micro-batches, so that resuming has everything to restore."""
    return {
        "model": {
            "layers": 2,
            "width": 16,
            "context": 16,
            "attention": {"kind": "gqa", "heads": 2},
            "norm": "rmsnorm",
            "activation": "gelu",
            "position": "rope",
            "dropout": 0.1,
        },
        "train": {
            "batch_size": 4,
            "accumulation": 2,
            "loss": "cross_entropy",
            "optimizer": {"kind": "adamw", "lr": 0.01},
            "schedule": "cosine",
            "ema": 0.9,
        },
        "seed": 3,
        "steps": 30,
        "vocab_size": prepared.vocab_size,
        "train_dir": str(prepared.train_dir),
        "out": str(tmp_path / "run"),
        "device": "cpu",
        "threads": 1,
        "checkpoint_seconds": 3600.0,
    }
