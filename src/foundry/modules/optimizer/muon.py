"""Muon (Jordan et al. 2024): momentum made orthogonal for hidden matrices, AdamW for the rest. May not: decay gains.

A population's members step as they would alone.
"""

# pyright: reportPrivateImportUsage=false
# torch.optim itself is built on torch._foreach_*: one call over all weights instead of one for each.

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.optim.adamw import adamw

from foundry.modules.newton_schulz import orthogonal_by_shape
from foundry.modules.optimizer import Beta, Betas, OptimizerConfig, Weight, decay_groups


class Config(OptimizerConfig):
    """`lr` is for the matrices: the largest singular value of a square matrix's step, about."""

    momentum: Beta = 0.95
    iterations: int = Field(5, ge=1, le=20)
    """Newton–Schulz steps."""
    weight_decay: float = Field(0.0, ge=0, le=10)
    """Of matrices; the share that a step takes away is lr · weight_decay."""
    cautious: bool = False
    """Decay a weight only where the step shrinks it too (Chen et al. 2025)."""
    adam_lr: float = Field(3e-3, gt=0, le=10)
    """The peak rate of all else: embeddings, head, gains, vectors."""
    adam_betas: Betas = (0.9, 0.95)
    adam_eps: float = Field(1e-8, gt=0, le=1)
    adam_weight_decay: float = Field(0.0, ge=0, le=10)

    def build(self, weights: list[Weight]) -> torch.optim.Optimizer:
        matrices = [weight.tensor for weight in weights if weight.is_matrix]
        hidden = {"params": matrices, "lr": self.lr, "peak_lr": self.lr, "weight_decay": self.weight_decay}
        muon = [{**hidden, "momentum": self.momentum, "iterations": self.iterations, "cautious": self.cautious}]
        rest = decay_groups([w for w in weights if not w.is_matrix], self.adam_lr, self.adam_weight_decay)
        adam = [{**group, "betas": self.adam_betas, "eps": self.adam_eps} for group in rest]
        return Muon([*(muon if matrices else []), *adam])


class Muon(torch.optim.Optimizer):
    """Groups with `iterations` are orthogonalised, the others are AdamW's.

    State: `momentum` of a matrix; `exp_avg`, `exp_avg_sq`, `step` of another weight, as torch's AdamW has them.
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                (self._step_matrices if "iterations" in group else self._step_adam)(group, weights)

    def _step_matrices(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        slopes: list[Any] = [weight.grad for weight in weights]
        momenta = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(momenta, slopes, 1 - group["momentum"])
        ahead = torch._foreach_lerp(slopes, momenta, group["momentum"])  # Nesterov's look ahead
        steps = self._finished(group, weights, orthogonal_by_shape(ahead, group["iterations"]))
        lr = group["lr"]  # a number, or one in the device's memory: it is not to be read here
        if group["weight_decay"] and not group["cautious"]:
            torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        elif group["weight_decay"]:
            decayed = [w * (w * s > 0) for w, s in zip(weights, steps, strict=True)]
            torch._foreach_mul_(decayed, lr * group["weight_decay"])
            torch._foreach_sub_(weights, decayed)
        # taller than wide: √(m/k) keeps the change of the output's size the same (Bernstein 2025)
        scales = [lr * math.sqrt(max(1.0, weight.shape[-2] / weight.shape[-1])) for weight in weights]
        torch._foreach_mul_(steps, scales)
        torch._foreach_sub_(weights, steps)

    def _finished(self, group: dict[str, Any], weights: list[Tensor], steps: list[Tensor]) -> list[Tensor]:
        """The orthogonal steps as they are to be taken."""
        return steps

    def _step_adam(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        for weight in weights:
            if not self.state[weight]:
                zeros = torch.zeros_like(weight)
                step = torch.zeros((), device=weight.device)  # beside the weight: the fused kernel wants it there
                self.state[weight].update(step=step, exp_avg=zeros, exp_avg_sq=zeros.clone())
        kept = [self.state[weight] for weight in weights]
        slopes: list[Any] = [weight.grad for weight in weights]
        adamw(
            weights,
            slopes,
            [state["exp_avg"] for state in kept],
            [state["exp_avg_sq"] for state in kept],
            [],
            [state["step"] for state in kept],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
