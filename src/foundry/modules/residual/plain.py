"""x + branch (He et al. 2015). May not: let tokens meet."""

from __future__ import annotations

from torch import Tensor

from foundry.modules.residual import Residual, ResidualConfig


class Config(ResidualConfig):
    def build(self, width: int, layers: int) -> Residual:
        return Sum()


class Sum(Residual):
    def forward(self, x: Tensor, branch: Tensor, start: Tensor) -> Tensor:
        return x + branch
