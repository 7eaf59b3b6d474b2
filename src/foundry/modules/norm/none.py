"""No norm: the stream is read as it is. May not: look at other tokens."""

from __future__ import annotations

from torch import nn

from foundry.modules.norm import NormConfig


class Config(NormConfig):
    def build(self, width: int) -> nn.Module:
        return nn.Identity()

    def build_qk(self, head_dim: int) -> nn.Module | None:
        return None
