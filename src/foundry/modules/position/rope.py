"""Rotary positions (Su et al. 2021): pairs of channels of queries and keys turn with the position.

Shapes: P population (may be absent), B batch, H heads, T time, E head dim. May not: touch values or the stream.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from foundry.core.errors import RequestError
from foundry.modules.position import Position, PositionConfig


class Config(PositionConfig):
    base: float = Field(10_000.0, gt=1, le=1e9)
    """The slowest pair turns once in about 2π · base tokens."""

    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        if head_dim % 2:
            hint = "change model.width or model.attention.heads"
            raise RequestError("recipe.bad_value", "kind", f"rope turns pairs; head dim {head_dim} is odd", hint=hint)
        return RotaryPosition(head_dim, context, self.base)


class RotaryPosition(Position):
    """Neighbouring channels (2i, 2i+1) are one pair, turned by position · base^(−2i/E)."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, head_dim: int, context: int, base: float) -> None:
        super().__init__()
        cosine_TE = sine_TE = torch.empty(context, head_dim // 2)
        if not cosine_TE.is_meta:  # there, the first arithmetic makes torch import sympy: a second for every command
            speed_E = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
            angle_TE = torch.outer(torch.arange(context, dtype=torch.float64), speed_E)
            cosine_TE, sine_TE = angle_TE.cos().float(), angle_TE.sin().float()
        self.register_buffer("cosine", cosine_TE, persistent=False)
        self.register_buffer("sine", sine_TE, persistent=False)

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x

    def rotate(self, x: Tensor, offset: int) -> Tensor:
        span = slice(offset, offset + x.shape[-2])
        cosine, sine = self.cosine[span], self.sine[span]
        if x.dtype == torch.float32 and x.device.type == "cpu" and not torch.compiler.is_compiling():
            # one complex product: half the time of the arithmetic below, 3% of a small model's step on a core
            if any(number % 2 for number in (x.storage_offset(), *x.stride()[:-1])):  # part of a head of odd size
                x = x.clone(memory_format=torch.contiguous_format)
            pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
            return torch.view_as_real(pairs * torch.complex(cosine, sine)).flatten(-2)
        even, odd = x.unflatten(-1, (-1, 2)).float().unbind(-1)
        turned = torch.stack((even * cosine - odd * sine, odd * cosine + even * sine), -1)
        return turned.flatten(-2).to(x.dtype)

    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        return None
