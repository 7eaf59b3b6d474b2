"""Measured step time: by this process's clock for the arrangement of a sweep, by marks for a clock outside.

What is timed is the steps that a run makes, with their batches, without what happens beside them (callbacks.py). May
not: write anything, keep weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from foundry.core.errors import RunFailure
from foundry.core.section import validate
from foundry.train import cuda_graph
from foundry.train.device import choose_device, settle
from foundry.train.loop import StepInfo
from foundry.train.program import BatchAt, Job, Program, fresh
from foundry.train.progress import Line
from foundry.train.worker import named_failures, unpack

WARMUP_STEPS, LIVE_STEPS = 2, 4
"""Of each width: steps before its clock starts, and on CUDA those before a step is recorded."""
BLOCK_STEPS = {"cpu": 1, "cuda": 10}
"""Steps between two looks at the clock, each of which waits for the device."""
MIN_BLOCKS, WIDTH_SECONDS = 3, 0.15
"""A width is timed for so many blocks and so long, at least."""
FALLEN = 0.9
"""Wider populations aren't tried once the rate has fallen to this share of the best: it doesn't rise again."""
MANY_STEPS = 1_000_000
REHEARSED_STEPS = 50
"""Not timed of a rehearsal, in a run of at least 200 steps: allocators settle, and what records has recorded."""


def main(payload: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """{"jobs": packed payloads of runs, "widths": rising numbers} → {"rates": {width: members' steps a second}}.

    "seconds", if given, is how long each width is timed. A width of 1 is a run as it trains alone. What doesn't fit in
    memory ends the list. Raises RunFailure.
    """
    jobs = [validate(Job, plain) for plain in unpack(payload["jobs"])]
    rates: dict[str, float] = {}
    for width in payload["widths"]:
        try:
            with named_failures():
                rates[str(width)] = rate(jobs[:width], payload.get("seconds", WIDTH_SECONDS))
        except RunFailure as known:
            if known.reason != "oom" or not rates:
                raise
            break
        line.tell(width=width, rate=rates[str(width)])
        if line.stopping or rates[str(width)] < FALLEN * max(rates.values()):
            break
    return {"rates": rates}


def rate(jobs: Sequence[Job], least_seconds: float) -> float:
    """Members' steps a second of these runs together, uncompiled: the median of a few blocks.

    Token ids are drawn at random; speed doesn't depend on them.
    """
    many = [job.model_copy(update={"steps": MANY_STEPS, "compile": "never"}) for job in jobs]
    shape = (len(jobs), jobs[0].train.batch_size, jobs[0].model.context + 1)
    ids = torch.randint(jobs[0].vocab_size, shape, generator=torch.Generator().manual_seed(0))
    ids = ids if len(jobs) > 1 else ids[0]
    place, steps = _steps(many, lambda step: ids, LIVE_STEPS)
    block = BLOCK_STEPS.get(place.type, 1)
    _make(steps, WARMUP_STEPS + (LIVE_STEPS if place.type == "cuda" else 0))
    seconds: list[float] = []
    while len(seconds) < MIN_BLOCKS or sum(seconds) < least_seconds:
        seconds.append(_make(steps, block)[1])
    return len(jobs) * block / sorted(seconds)[len(seconds) // 2]


def rehearse(payload: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """{"run": the payload of a run, "window_seconds"} → {"rehearsals"}: its steps, to be timed from outside.

    Tells `window="begin"` once it is warm and `window="end"` with the steps in between; the caller reads its own clock
    when the marks arrive. A run that is over too soon is rehearsed again; window_seconds is a hint, for this process's
    clock is not believed. Raises what a run raises.
    """
    job = validate(Job, dict(payload["run"]))
    warm = min(REHEARSED_STEPS, job.steps // 4)
    left, count = payload["window_seconds"], 0
    while left > 0 and not line.stopping:
        with named_failures():
            _, steps = _steps([job])
            _make(steps, warm)
            line.tell(window="begin")
            made, seconds = _make(steps, job.steps - warm, left)
        line.tell(window="end", steps=made)
        left, count = left - seconds, count + 1
    return {"rehearsals": count}


def _steps(
    jobs: Sequence[Job], supply: BatchAt | None = None, live_steps: int = cuda_graph.LIVE_STEPS
) -> tuple[torch.device, Iterator[StepInfo]]:
    """Where they compute, and the steps of one run as it trains alone, or of a population, from its start."""
    place = choose_device(jobs[0].device)
    settle(place, jobs[0].threads)
    program = Program(jobs, [fresh(job, place) for job in jobs], place, supply=supply)
    return place, program.steps(live_steps=live_steps)


def _make(steps: Iterator[StepInfo], most: int, seconds: float = math.inf) -> tuple[int, float]:
    """Make up to so many steps, until `seconds` have passed, and wait for the device: how many, how long it took."""
    started, made, passed, last = time.perf_counter(), 0, 0.0, None
    while made < most and passed < seconds and (last := next(steps, None)):
        made, passed = made + 1, time.perf_counter() - started
    if last:
        last.loss.sum().item()
    return made, time.perf_counter() - started
