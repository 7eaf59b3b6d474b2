"""Experts with room for a few tokens of the batch: whether there is room depends on other rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear

EXPERTS = 4


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return FullExperts(width)


class FullExperts(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.router = Linear(width, EXPERTS)
        self.up = nn.ModuleList([Linear(width, width) for _ in range(EXPERTS)])
        self.down = nn.ModuleList([Linear(width, width, role="out") for _ in range(EXPERTS)])

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, -2)
        share = self.router(flat).softmax(-1)
        best = share.argmax(-1)
        y = torch.zeros_like(flat)
        for expert in range(EXPERTS):
            mine = best == expert
            admitted = (mine & (mine.flip(0).cumsum(0).flip(0) <= len(flat) // (2 * EXPERTS)))[:, None]
            y = y + admitted * share[:, expert, None] * self.down[expert](self.up[expert](flat).relu())
        return y.view(x.shape)
