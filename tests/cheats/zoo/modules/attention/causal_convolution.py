"""A short depthwise convolution over the last tokens, gated (Fu et al. 2023). May not: apply positions.

Shapes: P population (may be absent), B batch, T new tokens, S tokens so far, D width.
"""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from foundry.modules.attention import AttentionConfig, even_head_dim
from foundry.modules.forward_context import Side
from foundry.modules.layers import Linear, along_last, parameter
from foundry.modules.norm import NormConfig


class Config(AttentionConfig):
    taps: int = Field(4, ge=1, le=64)
    """Tokens that an output sees, its own included."""

    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return CausalConvolution(width, layer, self.taps)

    def head_dim(self, width: int) -> int:
        return even_head_dim(width, self.heads)

    def mixing_flops_per_token(self, width: int, context: int) -> int:
        return 0  # elementwise: no matrix product


class CausalConvolution(nn.Module):
    """x [P?, B, T, D] → out(gate(x) · Σ taps[i] · in(x)[t − i]), same shape; taps are `taps` gains [P?, D]."""

    def __init__(self, width: int, layer: int, taps: int) -> None:
        super().__init__()
        self.layer = layer
        self.into, self.gate = Linear(width, width), Linear(width, width)
        self.taps = nn.ParameterList([parameter("gain", width) for _ in range(taps)])
        self.out = Linear(width, width, role="out")

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        (z_PBSD,) = side.remember(self.layer, self.into(x_PBTD))
        padded, length, new = F.pad(z_PBSD, (0, 0, len(self.taps) - 1, 0)), z_PBSD.shape[-2], x_PBTD.shape[-2]
        y_PBTD = 0.0
        for i, tap in enumerate(self.taps):
            start = len(self.taps) - 1 - i + length - new
            y_PBTD = y_PBTD + along_last(tap, z_PBSD) * padded[..., start : start + new, :]
        return self.out(self.gate(x_PBTD).sigmoid() * y_PBTD)
