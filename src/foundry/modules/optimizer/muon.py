"""Muon (Jordan et al. 2024): momentum made orthogonal for hidden matrices, AdamW for the rest. May not: decay gains.

Matrices of one shape are orthogonalised as one batch, a population's members among them.
Shapes: n matrices in a batch, m rows, k columns.
"""

# pyright: reportPrivateImportUsage=false
# torch.optim itself is built on torch._foreach_*: one call over all weights instead of one for each.

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.optim.adamw import adamw

from foundry.modules.optimizer import Beta, Betas, OptimizerConfig, Weight, decay_groups

QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: steepest at 0, singular values end within about 0.7 to 1.2


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
        steps = orthogonal_by_shape(ahead, group["iterations"])
        lr = group["lr"]
        if share := lr * group["weight_decay"]:
            decayed = (
                weights if not group["cautious"] else [w * (w * s > 0) for w, s in zip(weights, steps, strict=True)]
            )
            torch._foreach_add_(weights, decayed, alpha=-share)
        # taller than wide: √(m/k) keeps the change of the output's size the same (Bernstein 2025)
        scales = [lr * math.sqrt(max(1.0, weight.shape[-2] / weight.shape[-1])) for weight in weights]
        torch._foreach_mul_(steps, scales)
        torch._foreach_sub_(weights, steps)

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


def orthogonal_by_shape(matrices: Sequence[Tensor], iterations: int) -> list[Tensor]:
    """`orthogonal` of each [..., m, k], those of one shape (or its transpose) in one batch; new tensors, same types."""
    batches: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, matrix in enumerate(matrices):
        rows, columns = sorted(matrix.shape[-2:])
        batches[rows, columns].append(i)
    done: list[Tensor] = list(matrices)
    for (rows, columns), places in batches.items():
        tall = [matrices[i].shape[-2] > rows for i in places]
        flat = [
            (matrices[i].mT if t else matrices[i]).reshape(-1, rows, columns) for i, t in zip(places, tall, strict=True)
        ]
        batch_nmk = orthogonal(torch.cat(flat), iterations)
        for i, t, made in zip(places, tall, batch_nmk.split([len(part) for part in flat]), strict=True):
            done[i] = (made.mT if t else made).reshape(matrices[i].shape).to(matrices[i].dtype)
    return done


def orthogonal(x_nmk: Tensor, iterations: int) -> Tensor:
    """The nearest semi-orthogonal matrix of each, roughly: singular values to about 1 by Newton–Schulz; m ≤ k."""
    if x_nmk.is_cuda:
        x_nmk = x_nmk.bfloat16()  # errors don't add up: each iteration corrects the one before
    x_nmk = x_nmk / (torch.linalg.vector_norm(x_nmk, dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = QUINTIC
    for _ in range(iterations):
        gram_nmm = x_nmk @ x_nmk.mT
        poly_nmm = torch.baddbmm(gram_nmm, gram_nmm, gram_nmm, beta=b, alpha=c)
        x_nmk = torch.baddbmm(x_nmk, poly_nmm, x_nmk, beta=a)
    return x_nmk
