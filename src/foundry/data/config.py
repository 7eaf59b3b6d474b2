"""Recipe section `data`: which text, which of its documents, cut into which tokens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SerializationInfo, SerializeAsAny, SerializerFunctionWrapHandler, model_serializer

from foundry.core import places
from foundry.core.section import IDENTITY, Section
from foundry.data.sources import ReadingConfig
from foundry.data.tokenizer import SLOT, TokenizerConfig

Tokenizer = Annotated[SerializeAsAny[TokenizerConfig], SLOT.field()]


class FilterConfig(Section):
    """Which training documents are kept; validation and test are never filtered."""

    dedupe: bool = False
    """Drop documents whose text is exactly that of an earlier one."""
    min_bytes: int = Field(default=0, ge=0)
    max_bytes: int = Field(default=0, ge=0)
    """0 for no limit."""


class DataConfig(Section):
    source: str = Field(min_length=1, max_length=4096)
    """`builtin:` shakespeare, networkx or python, `file:PATH` (a file, folder or glob) or `hf:NAME`."""
    tokenizer: Tokenizer
    filter: FilterConfig = FilterConfig()
    reading: ReadingConfig = ReadingConfig()

    @property
    def place(self) -> str:
        """The source in one spelling: a file below this folder by its path from here, another by its absolute path.
        Links are followed."""
        kind, _, path = self.source.partition(":")
        if kind != "file" or not path:
            return self.source
        here, real = places.root().resolve(), os.path.realpath(places.root() / os.path.expanduser(path))
        return f"file:{os.path.relpath(real, here) if Path(real).is_relative_to(here) else real}"

    @model_serializer(mode="wrap")
    def _identity(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """One place is one source however it is spelled, and text that is read as ever is the recipe that it was before
        there was a choice."""
        content = handler(self)
        if info.context == IDENTITY:
            content["source"] = self.place
            if self.reading == ReadingConfig():
                del content["reading"]
        return content
