"""How fast runs of one shape step together on this device: what the arrangement of a sweep is chosen by.

Token ids are drawn at random; speed doesn't depend on them. May not: read data, write anything, keep weights.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from foundry.core.section import validate
from foundry.model import GPT, initialise
from foundry.train.config import TrainConfig
from foundry.train.cuda_graph import CudaGraph, Recorded
from foundry.train.device import choose_device, settle
from foundry.train.loop import Compute, Fact, Rules, train
from foundry.train.population import Member, Population
from foundry.train.population_worker import unpack
from foundry.train.progress import Line
from foundry.train.state import TrainState
from foundry.train.worker import Job, failure

WARMUP_STEPS, LIVE_STEPS = 2, 4
BLOCK_STEPS = {"cpu": 1, "cuda": 10}
"""Steps between two looks at the clock, each of which waits for the device."""
MIN_BLOCKS, WIDTH_SECONDS = 3, 0.15
"""A width is timed for so many blocks and so long, at least."""
FALLEN = 0.9
"""Wider populations aren't tried once the rate has fallen to this share of the best: it doesn't rise again."""
MANY_STEPS = 1_000_000


def main(payload: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """{"jobs": packed payloads of runs, "widths": rising numbers} → {"rates": {width: members' steps a second}}.

    "seconds", if given, is how long each width is timed. A width of 1 is a run as it trains alone. What doesn't fit in
    memory ends the list. Raises RunFailure.
    """
    jobs = [validate(Job, plain) for plain in unpack(payload["jobs"])]
    place = choose_device(jobs[0].device)
    settle(place, jobs[0].threads)
    rates: dict[str, float] = {}
    for width in payload["widths"]:
        try:
            rates[str(width)] = rate(jobs[:width], place, payload.get("seconds", WIDTH_SECONDS))
        except Exception as error:
            known = failure(error)
            if known.reason != "oom" or not rates:
                raise known from error
            break
        line.tell(width=width, rate=rates[str(width)])
        if line.stopping or rates[str(width)] < FALLEN * max(rates.values()):
            break
    return {"rates": rates}


def rate(jobs: Sequence[Job], place: torch.device, least_seconds: float) -> float:
    """Members' steps a second of these runs together: the median of a few blocks."""
    facts, block = _steps(jobs, place), BLOCK_STEPS.get(place.type, 1)
    _wait_for(facts, WARMUP_STEPS + (LIVE_STEPS if place.type == "cuda" else 0))
    seconds: list[float] = []
    while len(seconds) < MIN_BLOCKS or sum(seconds) < least_seconds:
        started = time.perf_counter()
        _wait_for(facts, block)
        seconds.append(time.perf_counter() - started)
    return len(jobs) * block / sorted(seconds)[len(seconds) // 2]


def _wait_for(facts: Iterator[Fact], steps: int) -> None:
    """Make so many steps, and wait for the device."""
    for _ in range(steps - 1):
        next(facts)
    next(facts).loss.sum().item()


def _steps(jobs: Sequence[Job], place: torch.device) -> Iterator[Fact]:
    """The steps of one run as it trains alone, or of a population."""
    job = jobs[0]
    shape = (len(jobs), job.train.batch_size, job.model.context + 1)
    ids = torch.randint(job.vocab_size, shape, generator=torch.Generator().manual_seed(0)).to(place)
    runs = [(Member(str(i), one.model, one.train, one.seed), _fresh(one, place)) for i, one in enumerate(jobs)]
    if len(runs) == 1:
        state = runs[0][1]
        return _train(state, ids[0], job.train, place)
    population = Population.of(runs)
    runs.clear()  # the stack has its own copies
    return _train(population, ids, population.rules(MANY_STEPS), place)


def _train(
    state: TrainState | Population, ids: Tensor, rules: TrainConfig | Rules, place: torch.device
) -> Iterator[Fact]:
    def recorded(compute: Compute) -> Compute:
        return Recorded(compute, state.optimizer, CudaGraph(), LIVE_STEPS) if place.type == "cuda" else compute

    return train(state, state.model, lambda step: ids, rules, seed=0, steps=MANY_STEPS, recorded=recorded)


def _fresh(job: Job, place: torch.device) -> TrainState:
    model = GPT(job.model, job.vocab_size)
    initialise(model, job.seed)
    return TrainState.fresh(model.to(place), job.train)
