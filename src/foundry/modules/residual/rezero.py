"""ReZero (Bachlechner et al. 2020): each branch has a learned weight that starts at zero. May not: let tokens meet."""

from __future__ import annotations

from torch import Tensor

from foundry.modules.layers import along_last, parameter
from foundry.modules.residual import Residual, ResidualConfig


class Config(ResidualConfig):
    def build(self, width: int, layers: int) -> Residual:
        return ReZero()


class ReZero(Residual):
    """x + weight · branch; weight [P?, 1], 0 at the start: each layer starts as the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = parameter("vector", 1)

    def forward(self, x: Tensor, branch: Tensor, start: Tensor) -> Tensor:
        return x + along_last(self.weight, branch) * branch
