"""The training loop: a generator that makes one step at a time and yields facts about it.

Shapes: P population (may be absent), B rows of this process, T context. May not: evaluate, save, log, stop or wait
for the device; that is for whoever takes the facts (see callbacks.py).
"""

# pyright: reportPrivateImportUsage=false
# torch.optim itself is built on torch._foreach_*: one call over all weights instead of one for each.

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from foundry.core.seeds import stream_seed
from foundry.modules.loss import LossFunction
from foundry.train import device
from foundry.train.config import TrainConfig


class StepInfo(NamedTuple):
    """What one step was like. loss and grad_norm are [P?], on the device, not waited for."""

    step: int
    """Steps done, this one included."""
    loss: Tensor
    """Nats per token by the training loss, before the step's update."""
    lr: float | Sequence[float]
    """The first group's learning rate in this step; of a population, each member's."""
    grad_norm: Tensor
    """Global gradient norm before clipping."""


class Optimizing(Protocol):
    """What the loop needs of an optimizer; torch's, or a population's."""

    @property
    def param_groups(self) -> Sequence[dict[str, Any]]: ...
    def step(self) -> object: ...
    def zero_grad(self, set_to_none: bool = True) -> object: ...


class Trainee(Protocol):
    """What the loop needs of a run's state (state.py) or a population's (population.py)."""

    @property
    def model(self) -> torch.nn.Module: ...
    @property
    def optimizer(self) -> Optimizing: ...
    @property
    def step(self) -> int: ...
    def advance(self) -> None:
        """Count the step that the optimizer has made."""
        ...


@dataclass(frozen=True)
class Rules:
    """What the steps go by: a run's configuration, or that of each member of a population."""

    loss: LossFunction
    clip: float | Tensor
    """Largest global gradient norm, [P?]; inf for none."""
    accumulation: int
    precision: str
    rate: Callable[[int], tuple[Sequence[float], float | Sequence[float]]]
    """step → the learning rates of the optimizer's groups, and what the fact says."""

    @classmethod
    def of(cls, config: TrainConfig, optimizer: Optimizing, steps: int) -> Self:
        peaks = [group["peak_lr"] for group in optimizer.param_groups]

        def rate(step: int) -> tuple[list[float], float]:
            share = config.schedule.share(step, steps)
            rates = [peak * share for peak in peaks]
            return rates, rates[0]

        return cls(config.loss.build(), config.grad_clip or math.inf, config.accumulation, config.precision, rate)


Compute = Callable[[Tensor], tuple[Tensor, Tensor]]
"""One step on the device: ids [P?, B, T+1] → loss and gradient norm [P?]; the weights have moved."""


def train(
    state: Trainee,
    forward: Callable[[Tensor], Tensor],
    batch_at: Callable[[int], Tensor],
    config: TrainConfig | Rules,
    *,
    seed: int,
    steps: int,
    rank: int = 0,
    recorded: Callable[[Compute], Compute] | None = None,
) -> Iterator[StepInfo]:
    """Go from `state.step` to `steps`, yielding after each step; `state` is whole at every yield.

    forward: `state.model`, bare or wrapped (data parallel, compiled), ids [P?, B, T] → logits [P?, B, T, V].
    batch_at: step → int64 ids [P?, B, T+1] on the device. recorded: may replace the device's part of a step by a
    recording of it (cuda_graph.py).
    """
    rules = config if isinstance(config, Rules) else Rules.of(config, state.optimizer, steps)
    reseed = device.reseeder(next(state.model.parameters()).device)
    compute = compute_of(state, forward, rules)
    compute = recorded(compute) if recorded else compute
    state.model.train()
    for step in range(state.step, steps):
        rates, shown = rules.rate(step)
        for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        reseed(stream_seed(seed, "dropout", step, rank))
        loss, grad_norm = compute(batch_at(step))
        state.advance()
        yield StepInfo(step + 1, loss, shown, grad_norm)


def compute_of(state: Trainee, forward: Callable[[Tensor], Tensor], rules: Rules) -> Compute:
    """Forward, backward, clipping and update, with nothing that depends on the step's number.

    Of a population each member has its own loss, gradient norm and clipping; the sum of losses is what is
    differentiated, and no member appears in another's loss.
    """
    parameters = [p for p in state.model.parameters() if p.requires_grad]
    cast = device.precision(parameters[0].device, rules.precision)

    def compute(ids: Tensor) -> tuple[Tensor, Tensor]:
        losses = []
        for i, rows in enumerate(ids.chunk(rules.accumulation, dim=-2), start=1):
            with gradients_kept(forward, until_last=i < rules.accumulation):
                with cast():
                    loss = rules.loss(forward(rows[..., :-1]), rows[..., 1:])
                (loss.sum() / rules.accumulation).backward()
            losses.append(loss.detach())
        grad_norm = clip_gradients(parameters, rules.clip, members=losses[0].ndim == 1)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        return torch.stack(losses).mean(0), grad_norm

    return compute


@torch.no_grad()
def clip_gradients(parameters: list[torch.nn.Parameter], limit: float | Tensor, members: bool) -> Tensor:
    """Scale gradients so that their global norm is at most `limit` (inf for none). Returns the norm before, [P?].

    The formula of `torch.nn.utils.clip_grad_norm_`; with `members`, every gradient is [P, ...] and each of the P has
    its own norm, and may have its own limit [P].
    """
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if members:
        norms = [torch.linalg.vector_norm(grad.reshape(len(grad), -1), dim=1) for grad in grads]
    else:
        norms = torch._foreach_norm(grads)
    norm = torch.linalg.vector_norm(torch.stack(list(norms)), dim=0)
    scale = (limit / (norm + 1e-6)).clamp(max=1.0)
    if scale.device.type == "cpu" and bool((scale == 1).all()):  # no device to wait for, and a pass over memory saved
        return norm
    if members:
        torch._foreach_mul_(grads, [scale.view(-1, *[1] * (grad.ndim - 1)) for grad in grads])
    else:
        torch._foreach_mul_(grads, scale)
    return norm


def gradients_kept(forward: object, until_last: bool) -> AbstractContextManager[object]:
    """Where processes share the work, add gradients up here and exchange them with the last micro-batch only."""
    if until_last and isinstance(forward, DistributedDataParallel):
        return forward.no_sync()
    return contextlib.nullcontext()
