"""Multi-head latent attention (DeepSeek-AI 2024): keys and values of all heads are read out of one small latent.

The latent, and one key of `position_dim` channels that all heads share and positions rotate, is all that the cache
keeps. May not: apply positions itself, take values from elsewhere (the cache doesn't hold them).
Shapes: P population (may be absent), B batch, T new tokens, S tokens so far, D width, H heads, E head dim,
R position dim, C latent.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from foundry.core.errors import RequestError
from foundry.modules.attention import AttentionConfig, even_head_dim
from foundry.modules.forward_context import Side
from foundry.modules.layers import Linear
from foundry.modules.norm import NormConfig
from foundry.modules.sdpa import attend, join_heads, split_heads


class Config(AttentionConfig):
    latent: int | None = Field(None, ge=1, le=65536)
    """Channels of the latent; none for half the width."""
    position_dim: int | None = Field(None, ge=2, le=4096)
    """Channels of a head that positions rotate, besides its own; none for half a head, rounded up to an even number."""

    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return LatentAttention(self, width, layer, norm)

    def head_dim(self, width: int) -> int:
        head_dim = even_head_dim(width, self.heads)
        if self.position_dim is not None and self.position_dim % 2:
            message = f"position_dim {self.position_dim} is odd; positions turn pairs"
            raise RequestError("recipe.bad_value", "position_dim", message, got=self.position_dim)
        return self.position_dim or 2 * ((head_dim + 3) // 4)

    def mixing_flops_per_token(self, width: int, context: int) -> int:
        return 2 * context * (2 * width + self.heads * self.head_dim(width))


class LatentAttention(nn.Module):
    """x [P?, B, T, D] → same shape."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__()
        self.heads, self.layer = config.heads, layer
        head_dim, position_dim = even_head_dim(width, config.heads), config.head_dim(width)
        latent = config.latent or max(1, width // 2)
        self.sizes = [head_dim, position_dim]
        self.query = Linear(width, config.heads * (head_dim + position_dim))
        self.latent, self.latent_norm = Linear(width, latent), norm.build(latent)
        self.shared_key = Linear(width, position_dim)
        self.key, self.value = Linear(latent, width), Linear(latent, width)
        self.query_norm, self.key_norm = norm.build_qk(head_dim), norm.build_qk(head_dim)
        self.out = Linear(width, width, role="out")

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        q_PBHTE, turned_PBHTR = split_heads(self.query(x_PBTD), self.heads).split(self.sizes, -1)
        turned_PBHTR = side.position.rotate(turned_PBHTR, side.offset)
        shared_PB1TR = side.position.rotate(split_heads(self.shared_key(x_PBTD), 1), side.offset)
        latent_PB1TC = self.latent_norm(self.latent(x_PBTD)).unsqueeze(-3)
        latent_PB1SC, shared_PB1SR = side.remember(self.layer, latent_PB1TC, shared_PB1TR)
        latent_PBSC = latent_PB1SC.squeeze(-3)
        k_PBHSE = split_heads(self.key(latent_PBSC), self.heads)
        v_PBHSE = split_heads(self.value(latent_PBSC), self.heads)
        if self.query_norm is not None and self.key_norm is not None:
            q_PBHTE, k_PBHSE = self.query_norm(q_PBHTE), self.key_norm(k_PBHSE)
        shared_PBHSR = shared_PB1SR.expand(*k_PBHSE.shape[:-1], -1)
        q = torch.cat((q_PBHTE, turned_PBHTR), -1)
        k = torch.cat((k_PBHSE, shared_PBHSR), -1)
        return self.out(join_heads(attend(q, k, v_PBHSE, side)))
