"""Slot `model.attention`: [.., T, D] → [.., T, D], the only part where tokens meet. May not: add the residual."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import Field, SerializeAsAny
from torch import nn

from foundry.core.errors import RequestError
from foundry.core.slot import PartConfig
from foundry.core.slots import slot_named
from foundry.modules.norm import NormConfig
from foundry.modules.values import ValueSizes


class AttentionConfig(PartConfig, ABC):
    """Every kind has `heads`. The module's forward is (x_PBTD, side: Side) → PBTD, causal.

    What doesn't fit is a ValueError, or a RequestError whose path is relative to this config.
    """

    heads: int = Field(ge=1, le=4096)

    @abstractmethod
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        """The module of one layer. Raises ValueError or RequestError when the sizes don't fit."""

    @abstractmethod
    def head_dim(self, width: int) -> int:
        """Channels of a head, for positions that rotate them. Raises ValueError or RequestError likewise."""

    def value_sizes(self, width: int, layers: int, vocab_size: int) -> ValueSizes | None:
        """Of the values that the part passes through `side.values`; None (the default) if it has no such values."""
        return None

    @abstractmethod
    def mixing_flops_per_token(self, width: int, context: int) -> int:
        """Forward FLOPs per token of scores and mixing, those of `Linear` left out; the mask is not discounted."""


def even_head_dim(width: int, heads: int) -> int:
    """width / heads. Raises RequestError at `heads` when that isn't whole."""
    if width % heads:
        near = sorted((n for n in range(1, width + 1) if width % n == 0), key=lambda n: (abs(n - heads), n))[:3]
        hint = f"heads that divide it: {', '.join(map(str, sorted(near)))}"
        raise RequestError(
            "recipe.bad_value", "heads", f"{heads} heads don't divide width {width}", got=heads, hint=hint
        )
    return width // heads


SLOT = slot_named("attention")
Attention = Annotated[SerializeAsAny[AttentionConfig], SLOT.field()]
