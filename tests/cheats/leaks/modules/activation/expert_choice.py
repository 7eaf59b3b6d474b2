"""Experts that choose their tokens (Zhou et al. 2022): who is chosen depends on later tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear

EXPERTS = 4


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return ExpertChoice(width)


class ExpertChoice(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.router = Linear(width, EXPERTS)
        self.up = nn.ModuleList([Linear(width, width) for _ in range(EXPERTS)])
        self.down = nn.ModuleList([Linear(width, width, role="out") for _ in range(EXPERTS)])

    def forward(self, x: Tensor) -> Tensor:
        share_BTX = self.router(x).softmax(-1)
        quota = max(1, x.shape[-2] // EXPERTS)
        chosen_BTX = torch.zeros_like(share_BTX).scatter(-2, share_BTX.topk(quota, dim=-2).indices, 1.0)
        y = torch.zeros_like(x)
        for expert in range(EXPERTS):
            weight = (share_BTX * chosen_BTX)[..., expert, None]
            y = y + weight * self.down[expert](self.up[expert](x).relu())
        return y
