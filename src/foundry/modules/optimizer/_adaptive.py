"""AdamW's relatives: two moments of every weight's gradients, and a step that a kind makes of them.

What optimizer kinds are made of. May not: decay gains, take a mean over a whole stacked weight.
"""

# pyright: reportPrivateImportUsage=false
# torch.optim itself is built on torch._foreach_*: one call over all weights instead of one for each.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from foundry.modules.optimizer import Betas, OptimizerConfig, Weight, decay_groups


class AdaptiveConfig(OptimizerConfig, ABC):
    betas: Betas = (0.9, 0.95)
    eps: float = Field(1e-8, gt=0, le=1)
    weight_decay: float = Field(0.1, ge=0, le=10)

    def build(self, weights: list[Weight]) -> torch.optim.Optimizer:
        made = [
            {**group, "betas": self.betas, "eps": self.eps, "by_row": by_row}
            for by_row in (True, False)
            for group in decay_groups([w for w in weights if w.decays is by_row], self.lr, self.weight_decay)
        ]
        return self.rule()(made)

    @abstractmethod
    def rule(self) -> type[Adaptive]:
        """What steps."""


class Adaptive(torch.optim.Optimizer, ABC):
    """State: `first` and `second` moment of each weight, and `step`, how many it has taken.

    Groups with `by_row` hold matrices and embeddings, whose last dimension is a row; the others gains and vectors.
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {})

    @abstractmethod
    def direction(self, state: dict[str, Any], slope: Tensor, group: dict[str, Any]) -> Tensor:
        """The step downhill for a rate of 1, moments brought up to date; `step` counts this one already."""

    def second_like(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        """Zeros of the second moment's shape."""
        return torch.zeros_like(weight)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights: list[Tensor] = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            steps = []
            for weight in weights:
                if not (state := self.state[weight]):
                    state |= {"first": torch.zeros_like(weight), "second": self.second_like(weight, group)}
                    state["step"] = torch.zeros((), device=weight.device)
                state["step"] += 1
                steps.append(self.direction(state, weight.grad, group))  # type: ignore[arg-type]
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_mul_(steps, group["lr"])  # a number, or one in the device's memory: it is not read here
            torch._foreach_sub_(weights, steps)


def adam_direction(state: dict[str, Any], slope: Tensor, square: Tensor, group: dict[str, Any]) -> Tensor:
    """Kingma and Ba's: first / (√second + eps), both corrected for having started at zero; `square` joins second."""
    (fast, slow), step = group["betas"], state["step"]
    state["first"].lerp_(slope, 1 - fast)
    state["second"].lerp_(square, 1 - slow)
    root = (state["second"] / (1 - slow**step)).sqrt_().add_(group["eps"])
    return state["first"] / (1 - fast**step) / root
