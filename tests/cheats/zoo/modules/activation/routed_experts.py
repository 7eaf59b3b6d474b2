"""Experts to which each token is routed by itself, the best one of four (Fedus et al. 2022). May not: let tokens meet.

No expert is ever full: a token's expert depends on the token alone. Shapes: P population (may be absent), D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear

EXPERTS = 4


class Config(ActivationConfig):
    def build(self, width: int) -> nn.Module:
        return RoutedExperts(width, max(1, round(self.ratio * width / EXPERTS)))


class RoutedExperts(nn.Module):
    """x [.., D] → share · down_e(relu(up_e(x))), e the expert that the router prefers. All are computed."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.router = Linear(width, EXPERTS)
        self.up = nn.ModuleList([Linear(width, hidden) for _ in range(EXPERTS)])
        self.down = nn.ModuleList([Linear(hidden, width, role="out") for _ in range(EXPERTS)])

    def forward(self, x: Tensor) -> Tensor:
        share = self.router(x).softmax(-1)
        used = share * (share == share.amax(-1, keepdim=True))
        outputs = [down(up(x).relu()) for up, down in zip(self.up, self.down, strict=True)]
        return (torch.stack(outputs, -1) * used.unsqueeze(-2)).sum(-1)
