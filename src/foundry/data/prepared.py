"""Prepared data, opened: what a training process may see, and beside it what only the judge opens. May not: build."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from foundry.core.errors import MachineTrouble, RequestError
from foundry.data import manifest_dir
from foundry.data.eval_split import FEWEST_WINDOWS, count_windows
from foundry.data.split import JUDGED
from foundry.data.tokenizer import SLOT, Tokenizer, TokenizerConfig

TOKENIZER = "tokenizer.json"


def too_few_tokens(tokens: int, context: int) -> RequestError:
    message = f"{tokens} training tokens hold no window of {context} + 1"
    hint = "shorten the context or loosen data.filter"
    return RequestError("data.too_few_tokens", "model.context", message, hint=hint)


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
        train, judge = manifest_dir.manifest(train_dir), manifest_dir.manifest(judge_dir)
        if any(train[key] != judge[key] for key in ("judged_hash", "tokenizer_hash")):
            raise MachineTrouble("data.corrupt", str(judge_dir), f"belongs to other data than {train_dir}")
        return cls(train_dir, judge_dir, train["hash"], train["judged_hash"], train["vocab_size"], train)

    def tokenizer(self) -> Tokenizer:
        return open_tokenizer(self.train_dir)

    def check(self, context: int, judged_bytes: int) -> None:
        """Raises RequestError when there is too little text for a model of this context, before one is trained."""
        facts = self.manifest["splits"]
        if facts["train"]["tokens"] <= context:
            raise too_few_tokens(facts["train"]["tokens"], context)
        for name in JUDGED:
            windows = count_windows(self.judge_dir, name, judged_bytes, context)
            if windows < FEWEST_WINDOWS:
                raise RequestError(
                    "data.too_little_text",
                    "data.source",
                    f"{windows} window of {context} tokens to judge by in its {name} split of {facts[name]['bytes']} "
                    f"bytes; the judge's probes need {FEWEST_WINDOWS}",
                    hint="add text, shorten the context, or judge more of it (--judged-bytes)",
                )


def open_tokenizer(folder: Path | str) -> Tokenizer:
    """The tokenizer in a train_dir, its file verified. Raises WorkError `data.corrupt`."""
    return read_tokenizer(manifest_dir.checked(Path(folder), TOKENIZER).read_bytes())


def read_tokenizer(content: bytes) -> Tokenizer:
    """The tokenizer that a file of `write_tokenizer` holds."""
    stored = json.loads(content)
    return cast(TokenizerConfig, SLOT.parse(stored["config"])).loads(stored["state"])


def write_tokenizer(folder: Path, config: TokenizerConfig, tokenizer: Tokenizer) -> None:
    """What `open_tokenizer` reads, to be sealed."""
    content = {"config": config.model_dump(mode="json"), "state": tokenizer.dumps()}
    (folder / TOKENIZER).write_text(json.dumps(content))
