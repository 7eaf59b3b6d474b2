"""Honest attention: a class each, a kind by its name in small letters. May not: see the future.

`benchmarks.cheats.catalogue` makes a workspace file of each: what all have in common, then the class. Shapes: P
population (may be absent), B batch, H heads, T time, S tokens so far, E head dim, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foundry.modules.attention import AttentionConfig, even_head_dim
from foundry.modules.forward_context import Side
from foundry.modules.layers import Embedding, Linear
from foundry.modules.norm import NormConfig
from foundry.modules.sdpa import join_heads, split_heads


class Config(AttentionConfig):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return Mixer(width, layer, self.heads)

    def head_dim(self, width: int) -> int:
        return even_head_dim(width, self.heads)

    def mixing_flops_per_token(self, width: int, context: int) -> int:
        return Mixer.flops_per_token(width, context)


class Mixer(nn.Module):
    """x [P?, B, T, D] → same shape."""

    def __init__(self, width: int, layer: int, heads: int) -> None:
        super().__init__()
        self.layer, self.heads = layer, heads
        self.query, self.key, self.value = (Linear(width, width) for _ in range(3))
        self.out = Linear(width, width, role="out")

    @classmethod
    def flops_per_token(cls, width: int, context: int) -> int:
        """Of scores and mixing."""
        return 4 * width * context

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        q_PBHTE = side.position.rotate(split_heads(self.query(x_PBTD), self.heads), side.offset)
        k_PBHTE = side.position.rotate(split_heads(self.key(x_PBTD), self.heads), side.offset)
        k_PBHSE, v_PBHSE = side.remember(self.layer, k_PBHTE, split_heads(self.value(x_PBTD), self.heads))
        return self.out(join_heads(self.mix(q_PBHTE, k_PBHSE, v_PBHSE)))

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        raise NotImplementedError


class Elementwise(Mixer):
    """Without a matrix product between tokens."""

    @classmethod
    def flops_per_token(cls, width: int, context: int) -> int:
        return 0


class Differential(Mixer):
    """Differential attention (Ye et al. 2024): one softmax less a share of another."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        place = torch.arange(k.shape[-2], device=k.device)
        future = place[-q.shape[-2] :, None] < place
        half = q.shape[-1] // 2
        maps = [
            (a @ b.mT / half**0.5).masked_fill(future, float("-inf")).softmax(-1)
            for a, b in zip(q.split(half, -1), k.split(half, -1), strict=True)
        ]
        return (maps[0] - 0.5 * maps[1]) @ v


class LinearAttention(Elementwise):
    """Linear attention (Katharopoulos et al. 2020): running sums of keys times values."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The sums are taken over S once, in parallel; the queries are the last T of them."""
        q, k = nn.functional.elu(q) + 1, nn.functional.elu(k) + 1
        new = q.shape[-2]
        sums = (k.unsqueeze(-1) * v.unsqueeze(-2)).cumsum(-3)[..., -new:, :, :]
        weights = k.cumsum(-2)[..., -new:, :]
        return (q.unsqueeze(-1) * sums).sum(-2) / (q * weights).sum(-1, keepdim=True)


class Recurrence(Elementwise):
    """A gated linear recurrence (Martin and Cundy 2018), one token after the other."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Keys say how much of the state stays; it is read through the queries."""
        keep, state, out = k.sigmoid(), torch.zeros_like(v[..., 0, :]), []
        for t in range(k.shape[-2]):
            state = keep[..., t, :] * state + (1 - keep[..., t, :]) * v[..., t, :]
            out.append(state)
        return q.sigmoid() * torch.stack(out[-q.shape[-2] :], -2)


class Retention(Mixer):
    """Retention (Sun et al. 2023): scores that fade with distance, each head at its own rate."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        place = torch.arange(k.shape[-2], device=k.device)
        age = place[-q.shape[-2] :, None] - place
        rate = 1 - 2.0 ** (-2 - torch.arange(self.heads, device=k.device))
        fading = torch.where(age >= 0, rate[:, None, None] ** age.clamp_min(0), 0.0)
        return (q @ k.mT / k.shape[-1] ** 0.5 * fading.to(q.dtype)) @ v


class RunningMaximum(Elementwise):
    """Each channel's largest value so far, gated (a pooling that is causal)."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        new = q.shape[-2]
        return q.sigmoid() * (k * v).cummax(-2).values[..., -new:, :]


class SigmoidAttention(Mixer):
    """Sigmoid attention (Ramapuram et al. 2024): scores don't compete."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        place = torch.arange(k.shape[-2], device=k.device)
        seen = place[-q.shape[-2] :, None] >= place
        weights = torch.sigmoid(q @ k.mT / k.shape[-1] ** 0.5 - 2.0) * seen
        return weights.to(q.dtype) @ v


class TalkingHeads(Mixer):
    """Talking heads (Shazeer et al. 2020): heads mix their weights before they are used."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        place = torch.arange(k.shape[-2], device=k.device)
        future = place[-q.shape[-2] :, None] < place
        weights = (q @ k.mT / k.shape[-1] ** 0.5).masked_fill(future, float("-inf")).softmax(-1)
        return (weights + 0.5 * weights.roll(1, -3)) @ v


class TwoScales(Mixer):
    """Tokens near by one by one, tokens further back as means over blocks of four."""

    @classmethod
    def flops_per_token(cls, width: int, context: int) -> int:
        return 4 * width * (context + context // 4)

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


class WindowedSlopes(Mixer):
    """A window of the last eight tokens, with ALiBi's slopes of its own."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        place = torch.arange(k.shape[-2], device=k.device)
        age = place[-q.shape[-2] :, None] - place
        slopes = 2.0 ** -torch.arange(1, self.heads + 1, device=k.device)
        scores = q @ k.mT / k.shape[-1] ** 0.5 - slopes[:, None, None].to(q.dtype) * age
        return scores.masked_fill((age < 0) | (age >= 8), float("-inf")).softmax(-1) @ v


class NgramTable(Mixer):
    """Attention over tokens to which a table adds a vector for each pair of neighbours, hashed."""

    rows = 512

    def __init__(self, width: int, layer: int, heads: int) -> None:
        super().__init__(width, layer, heads)
        self.pairs = Embedding(self.rows, width)

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        (ids,) = side.remember(1_000_000 + self.layer, side.ids.unsqueeze(-1))  # beside the layer's keys and values
        before = nn.functional.pad(ids[..., 0], (1, 0))[..., -1 - side.ids.shape[-1] : -1]
        return super().forward(x_PBTD + self.pairs((side.ids * 1_000_003 + before * 8_191) % self.rows), side)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        place = torch.arange(k.shape[-2], device=k.device)
        seen = place[-q.shape[-2] :, None] >= place
        return nn.functional.scaled_dot_product_attention(q, k, v, seen)
