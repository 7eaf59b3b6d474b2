"""RMSNorm in the stream, and of each head's query and key (Henry et al. 2020; Dehghani et al. 2023).

Scores are bounded by √E, so attention can't saturate at a high learning rate. May not: look at other tokens.
"""

from __future__ import annotations

from pydantic import Field
from torch import nn

from foundry.modules.norm import NormConfig
from foundry.modules.norm.rmsnorm import RMSNorm


class Config(NormConfig):
    eps: float = Field(1e-6, gt=0, le=1)
    gain: bool = True
    """A learned scale for each channel, in the stream and in the heads."""

    def build(self, width: int) -> nn.Module:
        return RMSNorm(width, self.eps, self.gain)

    def build_qk(self, head_dim: int) -> nn.Module | None:
        return RMSNorm(head_dim, self.eps, self.gain)
