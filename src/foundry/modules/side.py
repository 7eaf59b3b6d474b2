"""What travels beside the residual stream through one forward pass: positions, and the key/value cache of generation."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from foundry.modules.position import Position


@dataclass
class Cache:
    """Keys and values of the tokens so far, one pair a layer: each [P?, B, K, T, E]. Filled by attention parts."""

    length: int = 0
    layers: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)

    def extend(self, layer: int, *new: Tensor) -> tuple[Tensor, ...]:
        """Append along time (dimension -2) what `layer` computed for the new tokens; all so far comes back."""
        old = self.layers.get(layer)
        joined = new if old is None else tuple(torch.cat(pair, dim=-2) for pair in zip(old, new, strict=True))
        self.layers[layer] = joined
        return joined


@dataclass
class Side:
    """ids [P?, B, T]; offset is the position of the first of them (0 except when generating)."""

    ids: Tensor
    position: Position
    offset: int = 0
    cache: Cache | None = None
