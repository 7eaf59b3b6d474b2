"""Tokens near by one by one, tokens further back as means over blocks of four. May not: see the future.

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
        return 4 * width * (context + context // 4)


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
        keys, block = k.shape[-2], 4
        place = torch.arange(keys, device=k.device)
        query_place, whole = place[-q.shape[-2] :, None], keys // block
        far_k, far_v = (t[..., : whole * block, :].unflatten(-2, (whole, block)).mean(-2) for t in (k, v))
        near = (query_place >= place) & (place // block >= query_place // block - 1)
        far = torch.arange(whole, device=k.device) < query_place // block - 1
        scores = torch.cat((q @ k.mT, q @ far_k.mT), -1) / k.shape[-1] ** 0.5
        weights = scores.masked_fill(~torch.cat((near, far), -1), float("-inf")).softmax(-1)
        return weights @ torch.cat((v, far_v), -2)
