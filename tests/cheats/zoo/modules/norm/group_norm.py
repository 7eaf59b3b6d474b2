"""RMSNorm of each quarter of the channels by itself (Wu and He 2018, for one token). May not: look at other tokens."""

from __future__ import annotations

from torch import Tensor, nn

from foundry.modules.layers import along_last, parameter
from foundry.modules.norm import NormConfig


class Config(NormConfig):
    groups: int = 4

    def build(self, width: int) -> nn.Module:
        if width % self.groups:
            raise ValueError(f"{self.groups} groups don't divide width {width}")
        return GroupNorm(width, self.groups)

    def build_qk(self, head_dim: int) -> nn.Module | None:
        return None


class GroupNorm(nn.Module):
    """x [.., D] → gain · each group of x over its root mean square; gain [P?, D]."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.groups, self.gain = groups, parameter("gain", width)

    def forward(self, x: Tensor) -> Tensor:
        apart = x.unflatten(-1, (self.groups, -1))
        apart = apart * (apart.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
        return along_last(self.gain, x) * apart.flatten(-2)
