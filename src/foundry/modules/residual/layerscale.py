"""LayerScale (Touvron et al. 2021): each channel of a branch has a learned, small gain. May not: let tokens meet."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from foundry.modules.layers import along_last, parameter
from foundry.modules.residual import Residual, ResidualConfig


class Config(ResidualConfig):
    scale: float = Field(0.1, gt=0, le=10)
    """The gain at the start."""

    def build(self, width: int, layers: int) -> Residual:
        return LayerScale(width, self.scale)


class LayerScale(Residual):
    """x + scale · gain · branch; gain [P?, D], 1 at the start."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.gain = parameter("gain", width)

    def forward(self, x: Tensor, branch: Tensor, start: Tensor) -> Tensor:
        return x + along_last(self.scale * self.gain, branch) * branch
