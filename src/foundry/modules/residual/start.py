"""A learned share of the first layer's input joins with every branch (Jordan et al. 2024). May not: let tokens meet."""

from __future__ import annotations

from torch import Tensor

from foundry.modules.layers import along_last, parameter
from foundry.modules.residual import Residual, ResidualConfig


class Config(ResidualConfig):
    def build(self, width: int, layers: int) -> Residual:
        return StartAgain()


class StartAgain(Residual):
    """keep · x + again · start + branch; keep [P?, 1] is 1 and again [P?, 1] is 0 at the start of training."""

    def __init__(self) -> None:
        super().__init__()
        self.keep, self.again = parameter("gain", 1), parameter("vector", 1)

    def forward(self, x: Tensor, branch: Tensor, start: Tensor) -> Tensor:
        return along_last(self.keep, x) * x + along_last(self.again, x) * start + branch
