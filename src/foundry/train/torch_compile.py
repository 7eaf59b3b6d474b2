"""torch.compile by a rule: on CUDA where the run is long enough to win back what compiling takes, elsewhere when asked.

The decision is part of a run's checkpoint, so that a resumed run goes on with the same program. Generated code is kept
in the user's cache and shared by all workers. May not: change what is computed (except by rounding), or fail a run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.modules.loss import LossFunction

BACKEND = "inductor"
WITH_LOSS = ("cuda",)
"""Devices where the loss is compiled too: over 50,000 tokens of vocabulary it moves more memory than all else."""
LONG_FLOPS = {"cuda": 3e16}
"""6 × parameters × tokens of a run that is long enough: two minutes or more uncompiled, of which compiling saves a
quarter and takes up to one. On CPUs it won nothing over a run of 2,000 steps (docs/log.md)."""

Say = Callable[[str], object]
Mode = Literal["auto", "always", "never"]


def asked_mode() -> Mode:
    """FOUNDRY_COMPILE: auto, always or never. Raises RequestError for another word."""
    asked = os.environ.get("FOUNDRY_COMPILE", "auto")
    if asked not in get_args(Mode):
        choices = get_args(Mode)
        raise RequestError("train.compile", "FOUNDRY_COMPILE", f"no '{asked}'", got=asked, choices=choices)
    return cast(Mode, asked)


def wanted(mode: Mode, model: nn.Module, tokens: int) -> bool:
    """Whether `model`, alone or a stack, is to be compiled for a run of so many tokens, those of one member."""
    parameters = list(model.parameters())
    flops = 6 * tokens * sum(parameter.numel() for parameter in parameters)
    return mode == "always" or (mode == "auto" and flops >= LONG_FLOPS.get(parameters[0].device.type, float("inf")))


@dataclass
class Compiled:
    """A model that was compiled in place, the loss that goes with it, and what to report of it."""

    loss: LossFunction
    seconds: float
    graphs: int
    """Programs of this process once it was compiled; more of them later are recompiles, and shapes never change."""

    def facts(self) -> dict[str, Any]:
        return {"compiled": True, "compile_seconds": round(self.seconds, 2), "recompiles": _graphs() - self.graphs}


def compiled(
    model: nn.Module, loss: LossFunction, rows: Tensor, cast: Callable[[], AbstractContextManager[object]], say: Say
) -> Compiled | None:
    """Compile in place and try it on `rows` [P?, B, T+1], forward and backward; None, and all is as it was, where that
    fails. Gradients are empty before and after."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(places.cache() / "inductor"))
    # no more than the run computes with: the other cores are other workers'
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(torch.get_num_threads()))
    started, training = time.perf_counter(), model.training
    try:
        model.train().compile(backend=BACKEND, fullgraph=True, dynamic=False)
        if rows.device.type in WITH_LOSS:
            loss = torch.compile(loss, backend=BACKEND, fullgraph=True, dynamic=False)
        with cast():
            losses = loss(model(rows[..., :-1]), rows[..., 1:])
        losses.sum().backward()
        losses.sum().item()  # waits for the device
    except Exception as error:  # dynamo's, inductor's, the C++ compiler's: any of them leaves the run as it was
        model._compiled_call_impl = None
        say(f"not compiled: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
        return None
    finally:
        model.zero_grad(set_to_none=True)
        model.train(training)
    return Compiled(loss, time.perf_counter() - started, _graphs())


def _graphs() -> int:
    """Programs that this process has compiled so far."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
