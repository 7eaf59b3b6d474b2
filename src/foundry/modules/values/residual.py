"""Value residual (Zhou et al. 2024): each layer's values blended with the first layer's. May not: see other tokens.

Shapes: P population (may be absent), B batch, K key/value heads, T time, E head dim.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from foundry.core.slot import PartConfig
from foundry.modules.layers import along_last, parameter
from foundry.modules.values import Values, ValuesConfig, ValueSizes, plain


class Config(ValuesConfig):
    share: float = Field(0.5, gt=0, lt=1)
    """The first layer's part of the blend at the start; learned from there, one number a layer."""

    def alike(self, context: int, layers: int, steps: int) -> PartConfig:
        return self if layers > 1 else plain.Config()

    def build(self, sizes: ValueSizes) -> Values | None:
        return ValueResidual(sizes.layers, self.share) if sizes.layers > 1 else None


class ValueResidual(Values):
    """v → v + share · blend[layer] · (first − v); blend [P?, layers − 1]."""

    def __init__(self, layers: int, share: float) -> None:
        super().__init__()
        self.share = share
        self.blend = parameter("gain", layers - 1)

    def forward(self, layer: int, v: Tensor, ids: Tensor, first: Tensor) -> Tensor:
        if layer == 0:
            return v
        return v + along_last(self.share * self.blend[..., layer - 1 : layer], v) * (first - v)
