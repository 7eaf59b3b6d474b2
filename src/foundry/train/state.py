"""What a training run is between two steps: weights, optimizer, average, and how many steps are behind it.

Randomness has no part in it: batches and dropout are pure functions of (seed, step). May not: know data or files.
"""

# pyright: reportPrivateImportUsage=false
# torch.optim itself is built on torch._foreach_*: one call over all weights instead of one for each.

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foundry.model import GPT, weights
from foundry.train.config import TrainConfig


@dataclass
class TrainState:
    """weights: every parameter once, by name, each [P?, its shape]; average: the same names and shapes, or None."""

    model: GPT
    optimizer: torch.optim.Optimizer
    weights: dict[str, Tensor]
    average: dict[str, Tensor] | None
    decay: float
    step: int = 0

    @classmethod
    def fresh(cls, model: GPT, config: TrainConfig) -> TrainState:
        """The state before the first step of an initialised model that is on its device already."""
        named = weights(model)
        own = {weight.name: weight.tensor.detach() for weight in named}
        average = {name: tensor.clone() for name, tensor in own.items()} if config.ema else None
        return cls(model, config.optimizer.build(named), own, average, config.ema)

    @torch.no_grad()
    def advance(self) -> None:
        """Count the step that the optimizer has made, and average its weights in.

        The average is exponential with Adam's correction for its start (Kingma & Ba 2015), so that the random
        initial weights have no part in it: after n steps, step i weighs decay^(n-i), normalised.
        """
        self.step += 1
        if self.average is not None:
            share = (1 - self.decay) / (1 - self.decay**self.step)
            torch._foreach_lerp_(list(self.average.values()), list(self.weights.values()), share)

    def judged(self) -> dict[str, Tensor]:
        """The weights that the run is judged by: the average where there is one."""
        return self.weights if self.average is None else self.average

    def finite(self) -> bool:
        """Whether every weight is a finite number. One host sync."""
        norms = torch.stack(torch._foreach_norm(list(self.weights.values())))
        return bool(torch.isfinite(norms).all())
