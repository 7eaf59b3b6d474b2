"""Scaled dot products: the one place where attention parts let tokens meet. May not: hold parameters, see the future.

Shapes: P population (may be absent), B batch, T new tokens, S tokens so far, H heads, K key/value heads, E head dim.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from foundry.modules.forward_context import Side


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[P?, B, T, H·E] → [P?, B, H, T, E], a view."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def join_heads(x: Tensor) -> Tensor:
    """[P?, B, H, T, E] → [P?, B, T, H·E]."""
    return x.transpose(-3, -2).flatten(-2)


def attend(q_PBHTE: Tensor, k_PBKSE: Tensor, v_PBKSE: Tensor, side: Side, window: int = 0) -> Tensor:
    """Causal softmax(q kᵀ / √E + bias) v, [P?, B, H, T, E]; the last query is the last key.

    window: how many keys a query sees, itself included; 0 for all. K divides H: neighbouring heads share a key head.
    """
    heads, queries = q_PBHTE.shape[-3:-1]
    kv_heads, keys = k_PBKSE.shape[-3:-1]
    mask = side.mask(queries, keys, window, q_PBHTE.dtype)
    # P goes into the batch: the fused kernels take 4 dimensions and nothing else
    q, k, v = (t.flatten(0, -4) for t in (q_PBHTE, k_PBKSE, v_PBKSE))
    if kv_heads != heads and mask is not None and q.is_cuda:  # CUDA's masked fused kernels know no groups
        k, v = (t.repeat_interleave(heads // kv_heads, dim=1) for t in (k, v))
    y = F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask,
        is_causal=mask is None and queries > 1,
        enable_gqa=k.shape[1] != heads,  # 10–20% faster than expanded keys (context 64, 4 heads, one core)
    )
    return y if q_PBHTE.ndim == 4 else y.unflatten(0, q_PBHTE.shape[:-3])
