"""Scalable softmax (Nakanishi 2025): scores grow with the logarithm of how many keys there are. May not: apply
positions itself."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from foundry.modules.attention.temperature import Config as TemperatureConfig
from foundry.modules.attention.temperature import TemperedAttention, TemperedHeads
from foundry.modules.norm import NormConfig


class Config(TemperatureConfig):
    """`scale` is multiplied by ln(1 + keys seen) too."""

    scale: float = Field(0.4, gt=0, le=100)

    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return TemperedAttention(ScalableHeads(self, width, layer, norm), width)


class ScalableHeads(TemperedHeads):
    """Queries times scale · gain[head] · ln(1 + keys that the query sees)."""

    def tempered(self, q_PBHTE: Tensor, offset: int) -> Tensor:
        keys_T = torch.arange(offset + 1, offset + 1 + q_PBHTE.shape[-2], device=q_PBHTE.device)
        return super().tempered(q_PBHTE, offset) * keys_T.log1p().to(q_PBHTE.dtype)[:, None]
