"""Slot `model.position`: how a token knows where it stands. May not: use anything but positions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

import torch
from pydantic import SerializeAsAny
from torch import Tensor, nn

from foundry.core.slot import PartConfig
from foundry.core.slots import slot_named


class Position(nn.Module, ABC):
    """Three places where a position can enter; a kind uses those it needs. `offset` is the first token's position."""

    @abstractmethod
    def embed(self, x: Tensor, offset: int) -> Tensor:
        """Residual stream x [P?, B, T, D] with positions added."""

    @abstractmethod
    def rotate(self, x: Tensor, offset: int) -> Tensor:
        """Queries or keys x [P?, B, H, T, E] with positions rotated in."""

    @abstractmethod
    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """What is added to the scores, [H, queries, keys], the last query being the last key; None for nothing."""


class PositionConfig(PartConfig, ABC):
    """Builds one module for the whole model."""

    @abstractmethod
    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        """Raises ValueError, or RequestError with a path relative to this config, when the sizes don't fit."""


SLOT = slot_named("position")
PositionField = Annotated[SerializeAsAny[PositionConfig], SLOT.field()]
