"""Lion (Chen et al. 2023): steps of one size, the sign of a blend of momentum and gradient. May not: decay gains."""

# pyright: reportPrivateImportUsage=false
# torch.optim itself is built on torch._foreach_*: one call over all weights instead of one for each.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from foundry.modules.optimizer import Betas, OptimizerConfig, Weight, decay_groups


class Config(OptimizerConfig):
    """A good rate is a third to a tenth of AdamW's, with a weight decay as many times larger."""

    betas: Betas = (0.9, 0.99)
    """Of the blend that gives the step, and of the momentum that is kept."""
    weight_decay: float = Field(0.3, ge=0, le=10)

    def build(self, weights: list[Weight]) -> torch.optim.Optimizer:
        return Lion(decay_groups(weights, self.lr, self.weight_decay), self.betas)


class Lion(torch.optim.Optimizer):
    """State: `momentum` of each weight, of its shape."""

    def __init__(self, groups: list[dict[str, Any]], betas: tuple[float, float]) -> None:
        super().__init__(groups, {"betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights: list[Tensor] = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight]["momentum"] = torch.zeros_like(weight)
            slopes: list[Any] = [weight.grad for weight in weights]
            momenta = [self.state[weight]["momentum"] for weight in weights]
            blend, keep = group["betas"]
            steps = torch._foreach_lerp(momenta, slopes, 1 - blend)
            torch._foreach_sign_(steps)
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_mul_(steps, group["lr"])  # a number, or one in the device's memory: it is not read here
            torch._foreach_sub_(weights, steps)
            torch._foreach_lerp_(momenta, slopes, 1 - keep)
