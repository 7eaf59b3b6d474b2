"""Value embeddings (Jordan et al. 2024, modded-nanogpt): a token's own vector, from a table a layer, joins its values.

Many parameters and no FLOPs: a lookup. Shapes: P population (may be absent), B batch, K key/value heads,
T time, E head dim. May not: see other tokens.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from foundry.modules.layers import Embedding, along_last, parameter
from foundry.modules.sdpa import split_heads
from foundry.modules.values import Values, ValuesConfig, ValueSizes


class Config(ValuesConfig):
    every: int = Field(2, ge=1, le=512)
    """The last layer has a table, and every so many before it."""

    def build(self, sizes: ValueSizes) -> Values | None:
        return ValueEmbeddings(sizes, self.every)


class ValueEmbeddings(Values):
    """v → v + gain[layer] · table_layer[id]; gain [P?, layers], 1 at the start."""

    def __init__(self, sizes: ValueSizes, every: int) -> None:
        super().__init__()
        self.kv_heads = sizes.kv_heads
        with_table = range((sizes.layers - 1) % every, sizes.layers, every)
        channels = sizes.kv_heads * sizes.head_dim
        self.tables = nn.ModuleDict({str(layer): Embedding(sizes.vocab_size, channels) for layer in with_table})
        self.gain = parameter("gain", len(with_table))
        self.place = {layer: i for i, layer in enumerate(with_table)}

    def forward(self, layer: int, v: Tensor, ids: Tensor, first: Tensor) -> Tensor:
        if layer not in self.place:
            return v
        i = self.place[layer]
        own = split_heads(self.tables[str(layer)](ids), self.kv_heads)
        return v + along_last(self.gain[..., i : i + 1], v) * own
