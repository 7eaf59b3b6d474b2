"""Slot `model.residual`: how a branch's output joins the stream. May not: let tokens meet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import SerializeAsAny
from torch import Tensor, nn

from foundry.core.slot import PartConfig
from foundry.core.slots import slot_named


class Residual(nn.Module, ABC):
    """One module for each branch: two a layer, attention's and the feed-forward block's."""

    @abstractmethod
    def forward(self, x: Tensor, branch: Tensor, start: Tensor) -> Tensor:
        """Stream x, the branch's output, and the stream as it entered the first layer, each [P?, B, T, D] → the
        stream after the branch."""


class ResidualConfig(PartConfig, ABC):
    @abstractmethod
    def build(self, width: int, layers: int) -> Residual:
        """The module of one branch."""


SLOT = slot_named("residual")
ResidualField = Annotated[SerializeAsAny[ResidualConfig], SLOT.field()]
