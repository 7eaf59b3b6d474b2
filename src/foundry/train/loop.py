"""The training loop: a generator that makes one step at a time and yields facts about it.

Shapes: P population (may be absent), B rows of this process, T context. May not: evaluate, save, log, stop or wait
for the device; that is for whoever takes the facts (see cadence.py).
"""

# pyright: reportPrivateImportUsage=false
# torch.optim itself is built on torch._foreach_*: one call over all weights instead of one for each.

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from foundry.core.seeds import stream_seed
from foundry.train import device
from foundry.train.config import TrainConfig
from foundry.train.state import TrainState


class Fact(NamedTuple):
    """What one step was like. loss and grad_norm are [P?], on the device, not waited for."""

    step: int
    """Steps done, this one included."""
    loss: Tensor
    """Nats per token by the training loss, before the step's update."""
    lr: float | Tensor
    """The first group's learning rate in this step."""
    grad_norm: Tensor
    """Global gradient norm before clipping."""


def train(
    state: TrainState,
    forward: Callable[[Tensor], Tensor],
    batch_at: Callable[[int], Tensor],
    config: TrainConfig,
    *,
    seed: int,
    steps: int,
    rank: int = 0,
) -> Iterator[Fact]:
    """Go from `state.step` to `steps`, yielding after each step; `state` is whole at every yield.

    forward: `state.model`, bare or wrapped (data parallel, compiled), ids [P?, B, T] → logits [P?, B, T, V].
    batch_at: step → int64 ids [P?, B, T+1] on the device.
    Of a population each member has its own loss, gradient norm and clipping; the sum of losses is what is
    differentiated, and no member appears in another's loss.
    """
    place = next(iter(state.weights.values())).device
    cast, reseed = device.precision(place, config.precision), device.reseeder(place)
    loss_of, parameters = config.loss.build(), [p for p in state.model.parameters() if p.requires_grad]
    state.model.train()
    for step in range(state.step, steps):
        share = config.schedule.share(step, steps)
        for group in state.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * share
        reseed(stream_seed(seed, "dropout", step, rank))

        losses = []
        micro_batches = batch_at(step).chunk(config.accumulation, dim=-2)
        for i, ids in enumerate(micro_batches, start=1):
            with gradients_kept(forward, until_last=i < config.accumulation):
                with cast():
                    loss = loss_of(forward(ids[..., :-1]), ids[..., 1:])
                (loss.sum() / config.accumulation).backward()
            losses.append(loss.detach())

        grad_norm = clip_gradients(parameters, config.grad_clip or math.inf, members=losses[0].ndim == 1)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.advance()
        yield Fact(step + 1, torch.stack(losses).mean(0), state.optimizer.param_groups[0]["lr"], grad_norm)


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
