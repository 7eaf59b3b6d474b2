"""`hf:NAME` or `hf:NAME@REVISION`: the train split of a Hugging Face data set, one document a row.

A name without a revision is what it was when it was first prepared, until the cache is emptied: asking the hub each
time would make a prepared corpus need the network. May not: run a data set's own code.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

from foundry.core.errors import RequestError
from foundry.data.sources import Document, Reader, Source


@final
class Hub(Source):
    def __init__(self, name: str) -> None:
        self.name, _, self.revision = name.partition("@")

    def stamp(self) -> dict[str, Any]:
        return {"name": self.name, "revision": self.revision}

    def files(self) -> list[Path]:
        """All that the hub's libraries keep, wherever they were told to."""
        home = Path(os.environ.get("HF_HOME", Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"))
        named = (os.environ.get(name, home) for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE"))
        return [Path(folder).expanduser() for folder in (home, *named)]

    def documents(self, reader: Reader) -> Iterator[Document]:
        try:
            datasets = importlib.import_module("datasets")
        except ImportError:
            hint = "run `pip install datasets`, or download the text and use file:PATH"
            raise RequestError("data.not_installed", "data.source", "hf: needs datasets", hint=hint) from None
        try:
            rows = datasets.load_dataset(self.name, split="train", revision=self.revision or None)
        except Exception as error:  # the library raises its own, httpx's and fsspec's kinds
            message = f"{type(error).__name__}: {error}"
            raise RequestError("data.unreadable", "data.source", f"hf:{self.name}: {message}") from None
        field, columns = reader.reading.field, rows.column_names
        if field not in columns:
            raise RequestError("data.no_text", "data.source", f"no column '{field}'", got=field, choices=columns)
        for number, row in enumerate(rows):
            name = f"{self.name}:{number}"
            yield from reader.document(name, f"hf:{name}", row[field])
