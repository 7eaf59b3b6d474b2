"""A block that writes nothing into the residual stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return Nothing()


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)
