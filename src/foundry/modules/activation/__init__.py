"""Slot `model.activation`: the feed-forward block, [.., D] → [.., D], token by token. May not: add the residual."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import Field, SerializeAsAny
from torch import nn

from foundry.core.slot import PartConfig
from foundry.core.slots import slot_named


class ActivationConfig(PartConfig, ABC):
    """`ratio` is hidden over width of the plain two-matrix block; gated kinds shrink it to keep the parameters."""

    ratio: float = Field(4.0, gt=0, le=16)

    @abstractmethod
    def build(self, width: int) -> nn.Module:
        """The module of one layer."""


SLOT = slot_named("activation")
Activation = Annotated[SerializeAsAny[ActivationConfig], SLOT.field()]
