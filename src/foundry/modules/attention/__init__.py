"""Slot `model.attention`: [.., T, D] → [.., T, D], the only part where tokens meet. May not: add the residual."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import SerializeAsAny
from torch import nn

from foundry.core.slot import PartConfig, Slot
from foundry.modules.norm import NormConfig


class AttentionConfig(PartConfig, ABC):
    """Every kind has `heads`. The module's forward is (x_PBTD, side: Side) → PBTD, causal."""

    heads: int

    @abstractmethod
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        """The module of one layer. Raises ValueError when the sizes don't fit."""

    @abstractmethod
    def head_dim(self, width: int) -> int:
        """Channels of a head, for positions that rotate them. Raises ValueError when the sizes don't fit."""

    @abstractmethod
    def mixing_flops_per_token(self, width: int, context: int) -> int:
        """Forward FLOPs per token of scores and mixing, those of `Linear` left out; the mask is not discounted."""


SLOT = Slot("attention", "model.attention")
Attention = Annotated[SerializeAsAny[AttentionConfig], SLOT.field()]
