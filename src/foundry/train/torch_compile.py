"""torch.compile where it pays: a run's first steps are timed, and what compiling cost and won before is remembered.

The decision is part of a run's checkpoint, so that a resumed run goes on with the same program. Generated code is kept
in the user's cache and shared by all workers. May not: change what is computed (except by rounding), or fail a run.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from foundry.core import places
from foundry.core.files import write_json
from foundry.core.fingerprint import fingerprint
from foundry.modules.loss import LossFunction
from foundry.train.device import hardware, precision

BACKEND = "inductor"
WITH_LOSS = ("cuda",)
"""Devices where the loss is compiled too: over 50,000 tokens of vocabulary it moves more memory than all else."""
WARMUP_STEPS = 3  # the first steps allocate, and are slower
PROBE_STEPS = 20  # timed before the decision, and again after compiling
SPEEDUP = {"cpu": 1.15, "cuda": 1.4}
"""Guessed for a shape that was never compiled; a 4-layer model of width 128 gained 1.17 on one core."""
SECONDS_BASE, SECONDS_PER_LAYER = 8.0, 5.0
"""Guessed cost of compiling for the first time; that model took 28 s on one core."""
AGAIN_SHARE = 0.15
"""Of that, what compiling takes when the generated code is in the cache: 3 s of 28."""

Say = Callable[[str], object]
Mode = Literal["auto", "always", "never"]


class Swappable:
    """A loss function that can be replaced by its compiled form while it is in use."""

    def __init__(self, function: LossFunction) -> None:
        self.function = function

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.function(logits, targets)


class Compiler:
    """Watches the steps of a run or a population. `decided`: what an interrupted part of it did, None if nothing."""

    def __init__(
        self,
        model: nn.Module,
        loss: Swappable,
        batch_at: Callable[[int], Tensor],
        accumulation: int,
        shape: Mapping[str, Any],
        steps: int,
        precision_name: str,
        decided: bool | None = None,
        mode: Mode = "auto",
        say: Say = lambda line: None,
    ) -> None:
        """batch_at and accumulation as the loop has them; shape: what the program depends on, as plain data."""
        self.model, self.loss, self.steps, self.say = model, loss, steps, say
        self.batch_at, self.accumulation = batch_at, accumulation
        self.layers = int(shape.get("layers", 1))
        self.place = next(model.parameters()).device
        self.cast: Callable[[], AbstractContextManager[object]] = precision(self.place, precision_name)
        self.record_path = places.cache() / "compile" / f"{self._key(shape, precision_name)}.json"
        self.decided = {"auto": decided, "always": True, "never": False}[mode]
        self.compile_seconds = 0.0
        self.eager_seconds: float | None = None
        self._graphs_before = 0
        self._seen = 0
        self._since = 0.0
        if self.decided:
            self.decided = self._compile()

    def note(self, step: int) -> None:
        """After each step; decides after `PROBE_STEPS` of this process's, and measures once more when compiled."""
        self._seen += 1
        end = WARMUP_STEPS + PROBE_STEPS
        if self._seen == WARMUP_STEPS:
            self._since = self._now()
        elif self._seen == end and self.decided is None:
            self.eager_seconds = (self._now() - self._since) / PROBE_STEPS
            self.decided = self._pays(self.steps - step) and self._compile()
            self._seen = 0
        elif self._seen == end and self.decided and self.eager_seconds is not None:
            self._remember((self._now() - self._since) / PROBE_STEPS)

    def facts(self) -> dict[str, Any]:
        """For the run's report; recompiles should be 0, the shapes never change."""
        if not self.decided:
            return {"compiled": False}
        return {
            "compiled": True,
            "compile_seconds": round(self.compile_seconds, 2),
            "recompiles": max(0, _graphs() - self._graphs_before - 1 - (self.place.type in WITH_LOSS)),
        }

    # -- deciding --------------------------------------------------------------------------------------------------

    def _pays(self, steps_left: int) -> bool:
        """Whether the steps that are left win more than compiling takes."""
        assert self.eager_seconds is not None
        speedup = SPEEDUP.get(self.place.type)
        if speedup is None:
            return False
        seconds, record = SECONDS_BASE + SECONDS_PER_LAYER * self.layers, self._record()
        if record is not None:
            if "failed" in record:
                return False
            speedup, seconds = record["eager_seconds"] / record["compiled_seconds"], record["compile_seconds"]
        won = steps_left * self.eager_seconds * (1 - 1 / speedup)
        return won > seconds and self._has_toolchain()

    def _has_toolchain(self) -> bool:
        """Whether there is a compiler for what inductor writes: C++ for the CPU; Triton brings its own but needs C."""
        names = ("g++", "clang++", "c++") if self.place.type == "cpu" else ("gcc", "clang", "cc")
        chosen = os.environ.get("CXX" if self.place.type == "cpu" else "CC")
        found = any(shutil.which(name) for name in ((chosen,) if chosen else names))
        if not found:
            self.say(f"not compiled, though it would pay: there is no {names[0]} here")
        return found

    def _record(self) -> dict[str, Any] | None:
        try:
            record = json.loads(self.record_path.read_text())
            usable = "failed" in record or min(record["eager_seconds"], record["compiled_seconds"]) > 0
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if usable else None

    def _remember(self, compiled_seconds: float) -> None:
        """Put down what the next run of this shape may expect; the generated code is in the cache by then."""
        again = self.compile_seconds * (AGAIN_SHARE if self._record() is None else 1)
        self._write(
            {"eager_seconds": self.eager_seconds, "compiled_seconds": compiled_seconds, "compile_seconds": again}
        )

    def _write(self, record: dict[str, Any]) -> None:
        try:
            write_json(self.record_path, record)
        except OSError as error:  # a cache that can't be written (a sandbox) costs the next run its measurement
            self.say(f"{self.record_path}: {error.strerror}")

    # -- compiling -------------------------------------------------------------------------------------------------

    def _compile(self) -> bool:
        """Compile in place and try it, forward and backward; whether it works. Gradients are empty before and after."""
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(places.cache() / "inductor"))
        # no more than the run computes with: the other cores are other workers'
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(torch.get_num_threads()))
        self._graphs_before = _graphs()
        started = time.perf_counter()
        training, plain_loss = self.model.training, self.loss.function
        static = {"backend": BACKEND, "fullgraph": True, "dynamic": False}
        try:
            self.model.train().compile(**static)
            if self.place.type in WITH_LOSS:
                self.loss.function = torch.compile(plain_loss, **static)
            # a real batch: programs are for strides too, and these are of a slice
            rows = self.batch_at(0).chunk(self.accumulation, dim=-2)[0]
            with self.cast():
                loss = self.loss(self.model(rows[..., :-1]), rows[..., 1:])
            (loss.sum() / self.accumulation).backward()
        except Exception as error:  # dynamo's, inductor's, the C++ compiler's: any of them leaves the run as it was
            self.model._compiled_call_impl, self.loss.function = None, plain_loss
            self._write({"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"})
            self.say(f"not compiled: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
            return False
        finally:
            self.model.zero_grad(set_to_none=True)
            self.model.train(training)
        self.compile_seconds = self._now(started)
        return True

    def _now(self, since: float = 0.0) -> float:
        if self.place.type == "cuda":
            torch.cuda.synchronize(self.place)
        return time.perf_counter() - since

    def _key(self, shape: Mapping[str, Any], precision_name: str) -> str:
        return fingerprint([dict(shape), precision_name, hardware(self.place.type), torch.get_num_threads()])


def _graphs() -> int:
    """Programs that this process has compiled so far."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
