"""ScaleNorm (Nguyen and Salazar 2019): each token's vector gets one learned length. May not: look at other tokens."""

from __future__ import annotations

from torch import Tensor, nn

from foundry.modules.layers import along_last, parameter
from foundry.modules.norm import NormConfig


class Config(NormConfig):
    def build(self, width: int) -> nn.Module:
        return ScaleNorm(width)

    def build_qk(self, head_dim: int) -> nn.Module | None:
        return None


class ScaleNorm(nn.Module):
    """x [.., D] → length · √D · x / (|x| + eps); length [P?, 1]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.root, self.length = width**0.5, parameter("gain", 1)

    def forward(self, x: Tensor) -> Tensor:
        inverse = (x.square().sum(-1, keepdim=True) + 1e-6).rsqrt()
        return along_last(self.root * self.length, x) * x * inverse
