"""A step recorded once and played back: what a GPU is told to do takes longer to say than to do for small models.

Recording follows CUDA's rules: fixed memory, no number read back, learning rates in device memory. May not: be used
where a step draws random numbers. An optimizer that reads its rates on the host can't be recorded; its steps are played
live.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, final

import torch
from torch import Tensor

from foundry.train.loop import Compute, Optimizing

LIVE_STEPS = 40
"""Steps that are played as they are first: allocators settle, and what compiles has compiled (see torch_compile.py)."""

CLOCKED_STEPS = 10
"""Of those, the last, which are timed."""
WORTH_SECONDS = 0.03
"""Steps that take longer aren't recorded: the device is busy meanwhile, and a recording holds memory of its own."""

Say = Callable[[str], object]
Results = tuple[Tensor, Tensor]


class Recorder(Protocol):
    """Records the device's part of a function. CUDA's is `CudaGraph`."""

    def live(self, function: Callable[[], Results]) -> Results:
        """Play it now, in the way that must precede a recording."""
        ...

    def record(self, function: Callable[[], Results]) -> Results:
        """Record it without its taking effect; the tensors that each replay fills."""
        ...

    def replay(self) -> None: ...


@final
class CudaGraph:
    """torch's recorder. Warm-ups run on a side stream, as recording needs them to."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._stream = torch.cuda.Stream()

    def live(self, function: Callable[[], Results]) -> Results:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            results = function()
        torch.cuda.current_stream().wait_stream(self._stream)
        return results

    def record(self, function: Callable[[], Results]) -> Results:
        with torch.cuda.graph(self._graph):
            return function()

    def replay(self) -> None:
        self._graph.replay()


@final
class Recorded:
    """A `loop.Compute` that plays `compute` live for a while, then records it, then replays the recording."""

    def __init__(
        self,
        compute: Compute,
        optimizer: Optimizing,
        recorder: Recorder,
        live_steps: int = LIVE_STEPS,
        say: Say = lambda line: None,
    ) -> None:
        self.compute, self.optimizer, self.recorder, self.say = compute, optimizer, recorder, say
        self.live_steps = live_steps
        self.live_for_good = False
        self._clocked_from = 0.0
        self._ids: Tensor | None = None
        self._rates: Tensor | None = None
        self._results: Results | None = None

    def __call__(self, ids: Tensor) -> Results:
        if self.live_for_good:
            return self.compute(ids)
        if self.live_steps > 0:
            if self.live_steps == CLOCKED_STEPS:
                self._clocked_from = time.perf_counter()
            self.live_steps -= 1
            return self.recorder.live(lambda: self.compute(ids))
        if self._results is None:
            self.live_for_good = not (self._is_worth_it() and self._record(ids))
            if self.live_for_good:
                return self.compute(ids)
        assert self._ids is not None and self._rates is not None and self._results is not None
        self._ids.copy_(ids, non_blocking=True)
        self._rates.copy_(self._current_rates(), non_blocking=True)
        self.recorder.replay()
        loss, grad_norm = self._results
        return loss.clone(), grad_norm.clone()  # the next replay writes over them

    def _is_worth_it(self) -> bool:
        """By the steps so far. The host runs ahead of the device only so far, so its clock shows the slower of both."""
        seconds = time.perf_counter() - self._clocked_from
        return self._clocked_from == 0.0 or seconds < CLOCKED_STEPS * WORTH_SECONDS

    def _record(self, ids: Tensor) -> bool:
        """Record a step; nothing moves. Whether it worked."""
        groups = self.optimizer.param_groups
        spoken: list[dict[str, Any]] = [dict(group) for group in groups]
        self._ids, self._rates = ids.clone(), self._current_rates().to(ids.device)
        self.optimizer.zero_grad(set_to_none=True)
        try:
            for group, rate in zip(groups, self._rates, strict=True):
                group["lr"] = rate
                if "capturable" in group:
                    group["capturable"] = True
            recorded = self._ids
            self._results = self.recorder.record(lambda: self.compute(recorded))
        except Exception as error:  # whatever CUDA, a part or an optimizer doesn't allow while recording
            self.optimizer.zero_grad(set_to_none=True)
            self.say(f"steps are not recorded: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
            return False
        finally:
            for group, before in zip(groups, spoken, strict=True):
                group["lr"] = before["lr"]
                if "capturable" in group:
                    group["capturable"] = before["capturable"]
        return True

    def _current_rates(self) -> Tensor:
        rates = torch.tensor([group["lr"] for group in self.optimizer.param_groups])
        return rates.pin_memory() if self._rates is not None and self._rates.is_cuda else rates


def recorded(
    place: torch.device, optimizer: Optimizing, steps: int, say: Say, live_steps: int = LIVE_STEPS
) -> Callable[[Compute], Compute] | None:
    """What `loop.train` is given as `recorded`: a recording where the device has them and the run is long enough."""
    if place.type != "cuda" or steps < 2 * live_steps:
        return None
    return lambda compute: Recorded(compute, optimizer, CudaGraph(), live_steps, say)
