"""Partial rotary positions (Black et al. 2022, GPT-NeoX): some channels turn, the others compare content alone.
May not: touch values or the stream."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from foundry.core.errors import RequestError
from foundry.modules.position import Position, PositionConfig
from foundry.modules.position.rope import RotaryPosition


class Config(PositionConfig):
    share: float = Field(0.5, gt=0, le=1)
    """Of a head's channels, those that turn."""
    base: float = Field(10_000.0, gt=1, le=1e9)
    """The slowest pair turns once in about 2π · base tokens."""

    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        turned = 2 * max(1, round(self.share * head_dim / 2))
        if turned > head_dim:
            hint = "change model.width or model.attention.heads"
            raise RequestError("recipe.bad_value", "kind", f"rope turns pairs; head dim is {head_dim}", hint=hint)
        return PartialRotary(turned, context, self.base)


class PartialRotary(Position):
    """The first `turned` channels of a head as `rope` has them."""

    def __init__(self, turned: int, context: int, base: float) -> None:
        super().__init__()
        self.turned, self.rotary = turned, RotaryPosition(turned, context, base)

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x

    def rotate(self, x: Tensor, offset: int) -> Tensor:
        return torch.cat((self.rotary.rotate(x[..., : self.turned], offset), x[..., self.turned :]), -1)

    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        return None
