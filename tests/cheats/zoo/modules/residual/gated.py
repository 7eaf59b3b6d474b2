"""A highway (Srivastava et al. 2015): each channel's branch passes a gate of the stream. May not: let tokens meet."""

from __future__ import annotations

from torch import Tensor

from foundry.modules.layers import Linear
from foundry.modules.residual import Residual, ResidualConfig


class Config(ResidualConfig):
    def build(self, width: int, layers: int) -> Residual:
        return Gated(width)


class Gated(Residual):
    """x + sigmoid(gate(x)) · branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = Linear(width, width)

    def forward(self, x: Tensor, branch: Tensor, start: Tensor) -> Tensor:
        return x + self.gate(x).sigmoid() * branch
