"""LayerNorm (Ba et al. 2016) with a gain and without a bias, as in nanoGPT. May not: look at other tokens."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from foundry.modules.layers import along_last, parameter
from foundry.modules.norm import NormConfig


class Config(NormConfig):
    eps: float = Field(1e-5, gt=0, le=1)

    def build(self, width: int) -> nn.Module:
        return LayerNorm(width, self.eps)

    def build_qk(self, head_dim: int) -> nn.Module | None:
        return None


class LayerNorm(nn.Module):
    """x [.., D] → gain · (x − mean) / √(variance + eps)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.gain = parameter("gain", width)

    def forward(self, x: Tensor) -> Tensor:
        if self.gain.ndim == 1:
            return nn.functional.layer_norm(x, x.shape[-1:], self.gain, eps=self.eps)
        return nn.functional.layer_norm(x, x.shape[-1:], eps=self.eps) * along_last(self.gain, x)
