"""Slot `model.values`: what flows into the values of attention besides the stream. May not: see other tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

from pydantic import SerializeAsAny
from torch import Tensor, nn

from foundry.core.slot import PartConfig
from foundry.core.slots import slot_named


@dataclass(frozen=True)
class ValueSizes:
    """What a model's values are: kv_heads × head_dim channels in each of `layers` layers."""

    vocab_size: int
    layers: int
    kv_heads: int
    head_dim: int


class Values(nn.Module, ABC):
    """One module for the whole model; attention hands it the values of each layer before it mixes them."""

    @abstractmethod
    def forward(self, layer: int, v: Tensor, ids: Tensor, first: Tensor) -> Tensor:
        """v [P?, B, K, T, E] of `layer` and first, those of layer 0 in this pass; ids [P?, B, T] → [P?, B, K, T, E]."""


class ValuesConfig(PartConfig, ABC):
    @abstractmethod
    def build(self, sizes: ValueSizes) -> Values | None:
        """None for nothing, which suits attention kinds without values of their own too."""


SLOT = slot_named("values")
ValuesField = Annotated[SerializeAsAny[ValuesConfig], SLOT.field()]
