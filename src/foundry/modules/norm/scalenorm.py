"""ScaleNorm (Nguyen and Salazar 2019): scale by the root mean square, one learned gain for all channels. May not: look
at other tokens."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from foundry.modules.layers import along_last, parameter
from foundry.modules.norm import NormConfig
from foundry.modules.norm.rmsnorm import RMSNorm


class Config(NormConfig):
    eps: float = Field(1e-6, gt=0, le=1)

    def build(self, width: int) -> nn.Module:
        return ScaleNorm(width, self.eps)

    def build_qk(self, head_dim: int) -> nn.Module | None:
        return None


class ScaleNorm(nn.Module):
    """x [.., D] → gain · x / √(mean(x²) + eps); gain [P?, 1]."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.normalise = RMSNorm(width, eps, gain=False)
        self.gain = parameter("gain", 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalise(x) * along_last(self.gain.to(x.dtype), x)
