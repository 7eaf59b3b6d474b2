"""Several processes that train one model under torchrun, each on its rows of every batch (Li et al. 2020, DDP).

A process by itself is a world of one, and pays nothing. May not: change the global batch.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from dataclasses import dataclass
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from foundry.core.errors import RequestError, WorkError
from foundry.train.config import TrainConfig
from foundry.train.loop import StepInfo

AGREE_STEPS = 10
"""Processes ask each other every so many steps whether one was told to stop: asking waits for all of them."""


def leave(code: int) -> NoReturn:
    """End this process without tearing its interpreter down: a thread that exchanges gradients may still hold a tensor,
    and a thread that wants a dying interpreter aborts the process."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


@dataclass(frozen=True)
class World:
    """Which of how many processes this one is; rank 0 writes."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_torchrun(cls) -> World:
        """The world that torchrun made, alone without it. The first call of this process's run."""
        if not dist.is_torchelastic_launched():
            return cls()
        return cls(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))

    def check(self, config: TrainConfig) -> None:
        """Raises RequestError unless every micro-batch of every process has the same number of rows."""
        parts = self.size * config.accumulation
        if config.batch_size % parts:
            raise RequestError(
                "train.uneven_batch",
                "train.batch_size",
                f"{config.batch_size} rows don't divide by {self.size} processes × {config.accumulation} micro-batches",
                got=config.batch_size,
                hint=f"use a multiple of {parts}",
            )

    def join(self, model: nn.Module, device: torch.device) -> nn.Module:
        """What to call for a forward pass: the model itself, or around it the exchange of gradients."""
        if self.size == 1:
            return model
        if not dist.is_initialized():  # once in a process: a second group would read the first one's addresses
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            atexit.register(dist.destroy_process_group)
        return DistributedDataParallel(
            model, device_ids=[device.index] if device.type == "cuda" else None, gradient_as_bucket_view=True
        )

    def meet(self, step: int, device: torch.device) -> None:
        """Wait for all processes. Raises WorkError unless all are at the same step."""
        if self.size == 1:
            return
        ends = torch.tensor([step, -step], device=device)
        dist.all_reduce(ends, op=dist.ReduceOp.MAX)
        last, first = ends[0].item(), -ends[1].item()
        if first != last:
            hint = "all processes must see the same run folder"
            raise WorkError("train.apart", "", f"processes are at steps {first} to {last}", hint=hint)

    def mean(self, fact: StepInfo) -> StepInfo:
        """The fact with its loss over the global batch; gradients are the same everywhere already."""
        if self.size == 1:
            return fact
        loss = fact.loss / self.size
        dist.all_reduce(loss)
        return fact._replace(loss=loss)

    def agree(self, stop: bool, fact: StepInfo) -> bool:
        """Whether to stop after this step: all processes get the same answer at the same step."""
        if self.size == 1 or fact.step % AGREE_STEPS:
            return stop and self.size == 1
        told = torch.tensor(float(stop), device=fact.loss.device)
        dist.all_reduce(told, op=dist.ReduceOp.MAX)
        return bool(told)
