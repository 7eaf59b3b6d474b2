"""Prepared data, opened: what a training process may see, and beside it what only the judge opens. May not: build."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np

from foundry.core.errors import WorkError
from foundry.data import sealed
from foundry.data.tokenizer import SLOT, Tokenizer, TokenizerConfig

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Prepared:
    """hash: identity of the training tokens and their tokenizer; judged_hash: of the raw judged text.

    Two recipes are comparable when their judged_hash is equal, whatever their tokenizers and filters.
    """

    train_dir: Path
    judge_dir: Path
    hash: str
    judged_hash: str
    vocab_size: int
    manifest: dict[str, Any]

    @classmethod
    def open(cls, train_dir: Path, judge_dir: Path) -> Self:
        """Both folders, seals and sizes checked. Raises WorkError `data.corrupt`."""
        train, judge = sealed.manifest(train_dir), sealed.manifest(judge_dir)
        if any(train[key] != judge[key] for key in ("judged_hash", "tokenizer_hash")):
            raise WorkError("data.corrupt", str(judge_dir), f"belongs to other data than {train_dir}")
        return cls(train_dir, judge_dir, train["hash"], train["judged_hash"], train["vocab_size"], train)

    def train_tokens(self) -> np.ndarray:
        """ids of the training documents, each after its document mark: [n], uint16 or uint32, memory-mapped."""
        return np.memmap(self.train_dir / "tokens.bin", dtype=self.manifest["dtype"], mode="r")

    def tokenizer(self) -> Tokenizer:
        return open_tokenizer(self.train_dir)

    def verify(self) -> None:
        """Read and hash every file. Raises WorkError `data.corrupt` that names the first damaged one."""
        sealed.verify(self.train_dir)
        sealed.verify(self.judge_dir)


def open_tokenizer(folder: Path | str) -> Tokenizer:
    """The tokenizer in a train_dir, its file verified. Raises WorkError `data.corrupt`."""
    stored = json.loads(sealed.checked(Path(folder), TOKENIZER).read_bytes())
    return cast(TokenizerConfig, SLOT.parse(stored["config"])).loads(stored["state"])


def write_tokenizer(folder: Path, config: TokenizerConfig, tokenizer: Tokenizer) -> None:
    """What `open_tokenizer` reads, to be sealed."""
    content = {"config": config.model_dump(mode="json"), "state": tokenizer.dumps()}
    (folder / TOKENIZER).write_text(json.dumps(content))
