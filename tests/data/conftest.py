"""A cache of its own for every test, and small corpora on disk."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.core.section import validate
from foundry.data.config import DataConfig
from foundry.data.tokenizer import bpe

SONNET = "shall I compare thee to a summer’s day thou art more lovely and more temperate é 中"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FOUNDRY_CACHE", str(folder))
    return folder


def named(kind: str, folder: Path) -> Any:
    """A tokenizer of this kind as a recipe has it; of kind `file` one whose file is in the folder."""
    if kind != "file":
        return kind
    (folder / "tokenizer.json").write_text(bpe.Config(vocab_size=400).train([prose(1, 200)], "").dumps())
    return {"kind": kind, "path": str(folder)}


def prose(seed: int, lines: int) -> str:
    draw = random.Random(seed)
    return "".join(" ".join(draw.choices(SONNET.split(), k=draw.randint(1, 12))) + "\n" for _ in range(lines))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder of 24 documents of unequal length."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(24):
        (folder / f"{number:02}.txt").write_text(prose(number, 40 + 7 * number))
    return folder


@pytest.fixture
def config(texts: Path) -> Callable[..., DataConfig]:
    """`config(tokenizer=..., filter=...)`: a config on `texts`, with the characters by default."""

    def make(**values: Any) -> DataConfig:
        return validate(DataConfig, {"source": f"file:{texts}", "tokenizer": "char", **values})

    return make
