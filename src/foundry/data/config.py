"""Recipe section `data`: which text, which of its documents, cut into which tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SerializeAsAny

from foundry.core.section import Section
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
    """`builtin:shakespeare`, `builtin:python`, `file:PATH` (a file, folder or glob) or `hf:NAME`."""
    tokenizer: Tokenizer
    filter: FilterConfig = FilterConfig()
