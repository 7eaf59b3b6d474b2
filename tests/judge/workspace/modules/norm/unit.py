"""Each token's vector at unit RMS, without a gain."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from foundry.modules.norm import NormConfig


class Config(NormConfig):
    def build(self, width: int) -> nn.Module:
        return Unit(width)

    def build_qk(self, head_dim: int) -> nn.Module | None:
        return None


class Unit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (self.width,))
