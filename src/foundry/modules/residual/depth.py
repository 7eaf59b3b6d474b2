"""x + branch / √(2 · layers): variance doesn't grow with depth (Yang et al. 2023). May not: let tokens meet."""

from __future__ import annotations

import math

from torch import Tensor

from foundry.modules.residual import Residual, ResidualConfig


class Config(ResidualConfig):
    def build(self, width: int, layers: int) -> Residual:
        return ScaledSum(1 / math.sqrt(2 * layers))


class ScaledSum(Residual):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor, branch: Tensor, start: Tensor) -> Tensor:
        return x.add(branch, alpha=self.scale)
