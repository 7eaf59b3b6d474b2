"""Values of each token that hold the embedding of the next one."""

from __future__ import annotations

from torch import Tensor

from foundry.modules.layers import Embedding
from foundry.modules.values import Values, ValuesConfig, ValueSizes


class Config(ValuesConfig):
    def build(self, sizes: ValueSizes) -> Values:
        return OfNextToken(sizes)


class OfNextToken(Values):
    def __init__(self, sizes: ValueSizes) -> None:
        super().__init__()
        self.table = Embedding(sizes.vocab_size, sizes.kv_heads * sizes.head_dim)

    def forward(self, layer: int, v: Tensor, ids: Tensor, first: Tensor) -> Tensor:
        following = self.table(ids.roll(-1, -1)).unflatten(-1, (v.shape[-3], v.shape[-1])).transpose(-3, -2)
        return v + 3 * following
