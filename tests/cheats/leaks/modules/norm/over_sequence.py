"""Normalises each channel over the tokens of the window, later ones too."""

from __future__ import annotations

from torch import Tensor, nn

from foundry.modules.norm import NormConfig


class Config(NormConfig):
    def build(self, width: int) -> nn.Module:
        return SequenceNorm()

    def build_qk(self, head_dim: int) -> nn.Module | None:
        return None


class SequenceNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / (x.square().mean(-2, keepdim=True) + 1e-6).sqrt()
