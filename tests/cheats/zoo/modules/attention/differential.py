"""Differential attention (Ye et al. 2024): one softmax less a share of another. May not: see the future.

Shapes: P population (may be absent), B batch, H heads, T time, S tokens so far, E head dim, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foundry.modules.attention import AttentionConfig, even_head_dim
from foundry.modules.mixing import join_heads, split_heads
from foundry.modules.norm import NormConfig
from foundry.modules.parts import Linear
from foundry.modules.side import Side


class Config(AttentionConfig):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return Mixer(width, layer, self.heads)

    def head_dim(self, width: int) -> int:
        return even_head_dim(width, self.heads)

    def mixing_flops_per_token(self, width: int, context: int) -> int:
        return 4 * width * context


class Mixer(nn.Module):
    """x [P?, B, T, D] → same shape."""

    def __init__(self, width: int, layer: int, heads: int) -> None:
        super().__init__()
        self.layer, self.heads = layer, heads
        self.query, self.key, self.value = (Linear(width, width) for _ in range(3))
        self.out = Linear(width, width, role="out")

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        q_PBHTE = side.position.rotate(split_heads(self.query(x_PBTD), self.heads), side.offset)
        k_PBHTE = side.position.rotate(split_heads(self.key(x_PBTD), self.heads), side.offset)
        k_PBHSE, v_PBHSE = side.remember(self.layer, k_PBHTE, split_heads(self.value(x_PBTD), self.heads))
        return self.out(join_heads(self.mix(q_PBHTE, k_PBHSE, v_PBHSE)))

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        place = torch.arange(k.shape[-2], device=k.device)
        future = place[-q.shape[-2] :, None] < place
        half = q.shape[-1] // 2
        maps = [
            (a @ b.mT / half**0.5).masked_fill(future, float("-inf")).softmax(-1)
            for a, b in zip(q.split(half, -1), k.split(half, -1), strict=True)
        ]
        return (maps[0] - 0.5 * maps[1]) @ v
