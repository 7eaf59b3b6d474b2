"""Slot `model.norm`: normalises each token's vector by itself. May not: look at other tokens or rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import SerializeAsAny
from torch import nn

from foundry.core.slot import PartConfig
from foundry.core.slots import slot_named


class NormConfig(PartConfig, ABC):
    """Builds the norms of the residual stream and, where a kind has them, those of queries and keys."""

    @abstractmethod
    def build(self, width: int) -> nn.Module:
        """x [.., D] → [.., D]."""

    @abstractmethod
    def build_qk(self, head_dim: int) -> nn.Module | None:
        """The norm of queries and of keys, [.., H, T, E] → same, applied before rotation; None for none."""


SLOT = slot_named("norm")
Norm = Annotated[SerializeAsAny[NormConfig], SLOT.field()]
