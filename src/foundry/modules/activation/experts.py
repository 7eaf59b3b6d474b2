"""Mixture of experts (Shazeer et al. 2017): a router picks which parts of the block a token passes. May not: let tokens
meet, balance the experts.

All experts are computed and those not picked are multiplied by 0: what is counted is what is spent. Together they have
the plain block's parameters.
"""

from __future__ import annotations

from typing import Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear


class Config(ActivationConfig):
    experts: int = Field(4, ge=2, le=256)
    active: int = Field(2, ge=1, le=256)
    """Experts that a token passes."""

    @model_validator(mode="after")
    def _some_are_active(self) -> Self:
        if self.active > self.experts:
            raise ValueError(f"{self.active} of {self.experts} experts can't be active")
        return self

    def build(self, width: int) -> nn.Module:
        return Experts(width, max(1, round(self.ratio * width / self.experts)), self.experts, self.active)


class Experts(nn.Module):
    """x [.., D] → down(gate(x) · gelu(up(x))), the gate one number an expert of `hidden` channels."""

    def __init__(self, width: int, hidden: int, experts: int, active: int) -> None:
        super().__init__()
        self.experts, self.active = experts, active
        self.router = Linear(width, experts)
        self.up = Linear(width, experts * hidden)
        self.down = Linear(experts * hidden, width, role="out")

    def forward(self, x: Tensor) -> Tensor:
        scores = self.router(x)
        least = scores.topk(self.active, dim=-1).values[..., -1:]
        gate = scores.masked_fill(scores < least, float("-inf")).softmax(-1).to(x.dtype)
        hidden = F.gelu(self.up(x)).unflatten(-1, (self.experts, -1))
        return self.down((gate.unsqueeze(-1) * hidden).flatten(-2))
