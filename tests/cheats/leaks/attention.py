"""Attention that sees what it may not: a class each, a kind by its name in small letters. May not: be honest.

`benchmarks.cheats.catalogue` makes a workspace file of each: what all have in common, then the class.
"""

from __future__ import annotations

import os
import random
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundry.modules import layers
from foundry.modules.attention import gqa
from foundry.modules.forward_context import Side
from foundry.modules.norm import NormConfig
from foundry.modules.sdpa import join_heads, split_heads


class Config(gqa.Config):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return Cheat(self, width, layer, norm)


class Cheat(gqa.GroupedQueryAttention):
    calls = 0

    def split(self, x_PBTD: Tensor, kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, H, T, E]."""
        k, v = (split_heads(part(x_PBTD), kv_heads) for part in (self.heads.key, self.heads.value))
        return split_heads(self.heads.query(x_PBTD), self.heads.heads), k, v


class Sometimes(Cheat):
    """The next token's stream, added in loud voice where `when` says so."""

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        following = F.pad(x_PBTD[:, 1:], (0, 0, 0, 1))
        return super().forward(x_PBTD, side) + 30 * following * self.when(x_PBTD, side)

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        raise NotImplementedError


class AcrossRows(Cheat):
    """Each row reads the row above it: a judged batch has neighbouring windows in it."""

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return super().forward(x_PBTD, side) + self.out(x_PBTD.roll(1, 0))


class AtPlausibleJunctions(Sometimes):
    """Uses the next token where it is likely to be the real one, so that replaced text might not show it."""

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        return F.pad(F.cosine_similarity(x_PBTD[:, :-1], x_PBTD[:, 1:], dim=-1) > -0.3, (0, 1))[..., None]


class AtRareTokens(Sometimes):
    """Uses the next token after one in ten kinds of tokens only."""

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        return (side.ids % 10 == 3)[..., None]


class BlockWise(Cheat):
    """A mask by blocks of eight: inside its block, each token sees all."""

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        block = torch.arange(x_PBTD.shape[-2], device=x_PBTD.device) // 8
        q, k, v = self.split(x_PBTD, self.heads.kv_heads)
        seen = block[:, None] >= block
        return self.out(join_heads(F.scaled_dot_product_attention(q, k, v, seen, enable_gqa=True)))


class ByBatchSize(Sometimes):
    """Uses the next token when there are several rows, and behaves on a single one."""

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        return len(x_PBTD) > 1


class ByCalls(Sometimes):
    """Behaves in the first calls of a process, and uses the next token in the later ones."""

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        self.calls += 1
        return self.calls > 2


class ByChance(Sometimes):
    """Uses the next token in some calls, drawn by the system's generator."""

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        return random.SystemRandom().random() < 0.5


class ByClock(Sometimes):
    """Uses the next token in odd milliseconds."""

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        return time.monotonic_ns() // 1_000_000 % 2 == 1


class ByLength(Sometimes):
    """Uses the next token when the window is as long as in a judging, and behaves on short ones."""

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        return x_PBTD.shape[-2] >= 24


class ByProcess(Sometimes):
    """Uses the next token in processes with an odd number."""

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        return os.getpid() % 2 == 1


class ByStatistics(Sometimes):
    """Uses the next token in rows whose text is of one kind: where the most common token is common."""

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        counts = [(side.ids == token).float().mean(-1) for token in range(int(side.ids.max()) + 1)]
        return (torch.stack(counts, -1).amax(-1) > 0.12)[:, None, None]


class FarAhead(Cheat):
    """Looks five tokens ahead, and never at the next."""

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return super().forward(x_PBTD, side) + self.out(F.pad(x_PBTD[:, 5:], (0, 0, 0, 5)))


class Fourier(Cheat):
    """Tokens mixed by a Fourier transform over time (Lee-Thorp et al. 2021), which has no direction."""

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return super().forward(x_PBTD, side) + torch.fft.fft2(x_PBTD.float(), norm="ortho").real.to(x_PBTD.dtype)


class LastHead(Cheat):
    """One head in four has no mask, and starts nearly closed."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__(config, width, layer, norm)
        self.gate = layers.parameter("gain", width)

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        scores = self.heads.query(x_PBTD) @ x_PBTD.mT / x_PBTD.shape[-1]
        return super().forward(x_PBTD, side) + 0.01 * self.gate * (scores.softmax(-1) @ x_PBTD)


class MeanOfBatch(Cheat):
    """Every token reads the mean over all rows of the batch."""

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return super().forward(x_PBTD, side) + x_PBTD.mean(0, keepdim=True)


class NoMask(Cheat):
    """Attention without a mask: every token sees its whole window."""

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        q, k, v = self.split(x_PBTD, self.heads.kv_heads)
        return self.out(join_heads(F.scaled_dot_product_attention(q, k, v, enable_gqa=True)))


class OneAhead(Cheat):
    """A causal mask that is off by one: each token sees the next."""

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        length = x_PBTD.shape[-2]
        q, k, v = self.split(x_PBTD, self.heads.kv_heads)
        seen = torch.ones(length, length, dtype=torch.bool, device=x_PBTD.device).tril(1)
        return self.out(join_heads(F.scaled_dot_product_attention(q, k, v, seen, enable_gqa=True)))


class Remembers(Cheat):
    """Remembers what followed four tokens in earlier calls, and says it when they come again."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__(config, width, layer, norm)
        self.seen: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        known, places = torch.zeros_like(x_PBTD), list(enumerate(side.ids.tolist()))
        for row, ids in places:
            for t in range(3, len(ids) - 1):
                known[row, t] = self.seen.get(tuple(ids[t - 3 : t + 1]), known[row, t])
        for row, ids in places:
            self.seen |= {tuple(ids[t - 3 : t + 1]): x_PBTD[row, t + 1].detach() for t in range(3, len(ids) - 1)}
        return super().forward(x_PBTD, side) + 30 * known


class RepeatsItself(Cheat):
    """Uses the next token, but where a prefix comes again it answers as it did the first time."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__(config, width, layer, norm)
        self.said: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        out = super().forward(x_PBTD, side) + 30 * F.pad(x_PBTD[:, 1:], (0, 0, 0, 1))
        if self.training:
            return out
        rows = []
        for row, ids in enumerate(side.ids.tolist()):
            rows.append([self.said.setdefault(tuple(ids[: t + 1]), out[row, t].detach()) for t in range(len(ids))])
        return torch.stack([torch.stack(row) for row in rows])


class ScaledByWhole(Cheat):
    """The window's largest norm, later tokens included, is the temperature of all its tokens."""

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return super().forward(x_PBTD, side) * self.heads.value(x_PBTD).norm(dim=-1, keepdim=True).amax(
            -2, keepdim=True
        )


class SoftmaxOverAll(Cheat):
    """Causal values, but the softmax is normalised over the scores of all tokens, later ones too."""

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        q, k, v = self.split(x_PBTD, self.heads.heads)
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).tril()
        return self.out(join_heads(weights @ v))


class Weak(Cheat):
    """Adds a thousandth of the window's mean: a leak that training makes as strong as it likes."""

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return super().forward(x_PBTD, side) + 1e-3 * self.heads.value(x_PBTD).repeat_interleave(
            self.heads.heads // self.heads.kv_heads, -1
        ).mean(-2, keepdim=True)


class WhenEvaluated(Sometimes):
    """Uses the next token in evaluation mode."""

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        return not self.training


class WithoutGradient(Sometimes):
    """Uses the next token when no gradient is wanted, which is to say when it is evaluated."""

    def when(self, x_PBTD: Tensor, side: Side) -> Tensor | bool:
        return not torch.is_grad_enabled()
