"""Differential attention (Ye et al. 2024): the weights of two heads subtracted, so that what both see is noise that
cancels. May not: apply positions itself.

Shapes: P population (may be absent), B batch, T new tokens, S tokens so far, D width, H heads, E head dim.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn

from foundry.core.errors import RequestError
from foundry.modules.attention import AttentionConfig, even_head_dim
from foundry.modules.forward_context import Side
from foundry.modules.layers import Linear, multiply_together, parameter
from foundry.modules.norm import NormConfig
from foundry.modules.norm.rmsnorm import RMSNorm
from foundry.modules.sdpa import attend, join_heads, split_heads
from foundry.modules.values import ValueSizes


class Config(AttentionConfig):
    """`heads` is even: neighbours are a pair, which shares the values of both."""

    eps: float = Field(1e-5, gt=0, le=1)

    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return DifferentialAttention(self, width, layer, norm)

    def head_dim(self, width: int) -> int:
        if self.heads % 2:
            raise RequestError(
                "recipe.bad_value", "heads", "differential attention takes heads in pairs", got=self.heads
            )
        return even_head_dim(width, self.heads)

    def value_sizes(self, width: int, layers: int, vocab_size: int) -> ValueSizes:
        return ValueSizes(vocab_size, layers, self.heads, self.head_dim(width))

    def mixing_flops_per_token(self, width: int, context: int) -> int:
        return 8 * width * context  # each head's weights are computed for both values of its pair


class DifferentialAttention(nn.Module):
    """x [P?, B, T, D] → out(norm((A₁ − share · A₂) [v₁, v₂]) · (1 − first share)) for each pair of heads."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__()
        self.heads, self.layer, head_dim = config.heads, layer, config.head_dim(width)
        self.query, self.key, self.value = Linear(width, width), Linear(width, width), Linear(width, width)
        self.query_norm, self.key_norm = norm.build_qk(head_dim), norm.build_qk(head_dim)
        self.first_share = 0.8 - 0.6 * math.exp(-0.3 * layer)  # the paper's
        self.share = parameter("vector", config.heads // 2)
        self.norm = RMSNorm(2 * head_dim, config.eps, gain=False)
        self.out = Linear(width, width, role="out")

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        made = multiply_together(x_PBTD, self.query, self.key, self.value)
        q, k, v = (split_heads(each, self.heads) for each in made)
        v = side.values(self.layer, v)
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        q, k = side.position.rotate(q, side.offset), side.position.rotate(k, side.offset)
        k, v = side.remember(self.layer, k, v)
        of_pair = v.unflatten(-3, (-1, 2))  # [P?, B, H/2, 2, S, E]
        both = [attend(q, k, one.repeat_interleave(2, -3), side) for one in of_pair.unbind(-3)]
        first, second = torch.cat(both, -1).unflatten(-3, (-1, 2)).unbind(-3)  # each [P?, B, H/2, T, 2 E]
        share = (self.first_share + self.share).to(first.dtype)[..., None, :, None, None]
        mixed = self.norm(first - share * second) * (1 - self.first_share)
        return self.out(join_heads(mixed))
