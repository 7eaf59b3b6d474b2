"""AdamW (Loshchilov and Hutter 2019), torch's fused one on every device. May not: decay gains and vectors."""

from __future__ import annotations

import torch
from pydantic import Field

from foundry.modules.optimizer import Betas, OptimizerConfig, Weight, decay_groups


class Config(OptimizerConfig):
    betas: Betas = (0.9, 0.95)
    eps: float = Field(1e-8, gt=0, le=1)
    weight_decay: float = Field(0.1, ge=0, le=10)

    def build(self, weights: list[Weight]) -> torch.optim.Optimizer:
        groups = decay_groups(weights, self.lr, self.weight_decay)
        return torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, eps=self.eps, fused=True)
