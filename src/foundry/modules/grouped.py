"""Queries in H heads, keys and values in K ≤ H heads that neighbours share (Ainslie et al. 2023).

What attention kinds are made of. Shapes: P population (may be absent), B batch, T new tokens, S tokens so far, D width,
H heads, K key/value heads, E head dim. May not: write into the residual stream.
"""

from __future__ import annotations

from pydantic import Field, SerializationInfo, field_serializer
from torch import Tensor, nn

from foundry.core.errors import RequestError
from foundry.core.section import IDENTITY
from foundry.modules.attention import AttentionConfig, even_head_dim
from foundry.modules.forward_context import Side
from foundry.modules.layers import Linear, multiply_together
from foundry.modules.norm import NormConfig
from foundry.modules.sdpa import attend, join_heads, split_heads
from foundry.modules.values import ValueSizes


class GroupedConfig(AttentionConfig):
    """The sizes of grouped heads."""

    kv_heads: int | None = Field(None, ge=1, le=4096)
    """Heads of keys and values; none for as many as `heads`. Must divide `heads`."""

    @field_serializer("kv_heads")
    def _identity(self, kv_heads: int | None, info: SerializationInfo) -> int | None:
        """Left out or written out, as many as `heads` is one recipe."""
        return kv_heads or self.heads if info.context == IDENTITY else kv_heads

    def head_dim(self, width: int) -> int:
        return even_head_dim(width, self.heads)

    def groups(self) -> int:
        """Key/value heads. Raises RequestError when they don't divide the heads."""
        kv_heads = self.kv_heads or self.heads
        if self.heads % kv_heads:
            message = f"{kv_heads} key/value heads don't divide {self.heads} heads"
            raise RequestError("recipe.bad_value", "kv_heads", message, got=kv_heads)
        return kv_heads

    def value_sizes(self, width: int, layers: int, vocab_size: int) -> ValueSizes:
        return ValueSizes(vocab_size, layers, self.groups(), self.head_dim(width))

    def mixing_flops_per_token(self, width: int, context: int) -> int:
        return 4 * width * context  # q kᵀ and weights · v: 2 E each, for every head and key


class GroupedHeads(nn.Module):
    """x [P?, B, T, D] → what the heads mixed, [P?, B, T, H·E]; window: keys that a query sees, 0 for all.

    Three matrices, which matrix optimizers want apart, multiplied as one: that saves 1% of a small model's step.
    """

    def __init__(self, config: GroupedConfig, width: int, layer: int, norm: NormConfig, window: int = 0) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.layer, self.window = config.heads, config.groups(), layer, window
        head_dim = config.head_dim(width)
        self.query = Linear(width, width)
        self.key = Linear(width, self.kv_heads * head_dim)
        self.value = Linear(width, self.kv_heads * head_dim)
        self.query_norm, self.key_norm = norm.build_qk(head_dim), norm.build_qk(head_dim)

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        q, k, v = multiply_together(x_PBTD, self.query, self.key, self.value)
        q_PBHTE, k_PBKTE = split_heads(q, self.heads), split_heads(k, self.kv_heads)
        v_PBKTE = side.values(self.layer, split_heads(v, self.kv_heads))
        if self.query_norm is not None and self.key_norm is not None:
            q_PBHTE, k_PBKTE = self.query_norm(q_PBHTE), self.key_norm(k_PBKTE)
        q_PBHTE = side.position.rotate(q_PBHTE, side.offset)
        k_PBKTE = side.position.rotate(k_PBKTE, side.offset)
        q_PBHTE = self.tempered(q_PBHTE, side.offset)
        k_PBKSE, v_PBKSE = side.remember(self.layer, k_PBKTE, v_PBKTE)
        return join_heads(attend(q_PBHTE, k_PBKSE, v_PBKSE, side, self.window))

    def tempered(self, q_PBHTE: Tensor, offset: int) -> Tensor:
        """Queries as scores are to have them; the first one stands at `offset`."""
        return q_PBHTE
