"""The steps of a run alone, or of runs of one shape as one program: compiled and recorded where that pays.

Shapes: P population (absent for a run alone), B rows of this process, T context. May not: save, log, look at a loss.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from foundry.core.fingerprint import fingerprint
from foundry.core.section import Section
from foundry.data import stream
from foundry.model import ModelConfig, build, initialise
from foundry.train.config import TrainConfig
from foundry.train.cuda_graph import LIVE_STEPS, recorded
from foundry.train.device import precision
from foundry.train.distributed import World
from foundry.train.loop import Rules, StepInfo, train
from foundry.train.population import Member, Population
from foundry.train.start import Start, begin
from foundry.train.state import TrainState
from foundry.train.torch_compile import Compiled, Mode, compiled, wanted

BatchAt = Callable[[int], Tensor]
"""step → int64 ids [P?, B, T+1] on the CPU."""


class Job(Section):
    """The payload of a run. What it computes is (model, train, seed, steps, vocab_size) and the data's content."""

    model: ModelConfig
    train: TrainConfig
    seed: int
    steps: int = Field(ge=1)
    vocab_size: int = Field(ge=1)
    train_dir: str
    out: str
    device: str = "auto"
    threads: int = Field(0, ge=0)
    """0 leaves torch's choice."""
    checkpoint_seconds: float = Field(60.0, gt=0)
    start: Start | None = None
    """Weights to begin with, in place of random ones."""
    compile: Mode = "auto"
    """Whether torch.compile is used; auto: by a rule (torch_compile.py)."""

    @property
    def step_tokens(self) -> int:
        return self.train.batch_size * self.model.context

    @property
    def identity(self) -> str:
        """Says which run a checkpoint belongs to, wherever and however it was computed."""
        content = self.model_dump(mode="json", include={"model", "train", "seed", "steps", "vocab_size"})
        return fingerprint({**content, "start": self.start.hash} if self.start else content)


class Program:
    """Runs at one step that train together, or one run that trains alone, as its state has it."""

    def __init__(
        self,
        jobs: Sequence[Job],
        states: Sequence[TrainState],
        place: torch.device,
        world: World | None = None,
        supply: BatchAt | None = None,
    ) -> None:
        """supply: in place of the training tokens in `train_dir`. The states of several are copied."""
        self.job, self.place, self.world = jobs[0], place, world or World()
        # under torchrun processes could fail to compile apart; in a sandbox there is no compiler to run
        self.may_compile = self.world.size == 1 and supply is None
        self.compiled: Compiled | None = None
        self.trainee: TrainState | Population = states[0]
        self.order: list[int] = [0]
        """Which of `jobs` each place in the stack is."""
        if len(jobs) > 1:
            members = [Member(job.out, job.model, job.train, job.seed) for job in jobs]
            self.trainee = Population.of(zip(members, states, strict=True))
            self.order = [members.index(member) for member in self.trainee.members]
        self._forward = self.world.join(self.trainee.model, place)
        self._read = supply or reader([jobs[i] for i in self.order], self.world)

    @property
    def step(self) -> int:
        return self.trainee.step

    def state_of(self, place: int) -> TrainState:
        """The run at this place of the stack: a copy; of a run alone, its state itself."""
        return self.trainee.alone(place) if isinstance(self.trainee, Population) else self.trainee

    def steps(self, before: bool | None = None, live_steps: int = LIVE_STEPS) -> Iterator[StepInfo]:
        """Go on to the last step. before: whether an interrupted part was compiled; None: there was none.
        live_steps: on CUDA, before a step is recorded."""
        job, trainee, model = self.job, self.trainee, self.trainee.model
        if isinstance(trainee, Population):
            rules = trainee.rules(job.steps)
        else:
            rules = Rules.of(job.train, trainee.optimizer, job.steps)
        compile = wanted(job.compile, model, job.steps * job.step_tokens) if before is None else before
        if compile and self.may_compile:
            # a real batch: programs are for strides too, and these are of a slice
            rows = self._batch_at(0).chunk(rules.accumulation, dim=-2)[0]
            self.compiled = compiled(model, rules.loss, rows, precision(self.place, rules.precision), say)
            rules = replace(rules, loss=self.compiled.loss) if self.compiled else rules
        may_record = self.world.size == 1 and not job.model.dropout
        left = job.steps - self.step
        return train(
            trainee,
            self._forward,
            self._batch_at,
            rules,
            seed=job.seed,
            steps=job.steps,
            rank=self.world.rank,
            recorded=recorded(self.place, trainee.optimizer, left, say, live_steps) if may_record else None,
        )

    def facts(self) -> dict[str, Any]:
        """For a run's report."""
        return self.compiled.facts() if self.compiled else {"compiled": False}

    def _batch_at(self, step: int) -> Tensor:
        """This process's rows of the batch, on the device; copied there once where all members have one seed."""
        ids = self._read(step)
        if self.place.type != "cuda":
            return ids.to(self.place)
        if ids.ndim == 3 and ids.stride(0) == 0:
            return ids[:1].pin_memory().to(self.place, non_blocking=True).expand_as(ids)
        return ids.pin_memory().to(self.place, non_blocking=True)


def reader(jobs: Sequence[Job], world: World) -> BatchAt:
    """step → this process's rows of the batch, from the training tokens in `train_dir`."""
    job, tokens = jobs[0], stream.open_tokens(Path(jobs[0].train_dir))
    context, size = job.model.context, job.train.batch_size
    if len(jobs) == 1:
        return lambda step: stream.batch(tokens, context, size, job.seed, step, rank=world.rank, world=world.size)
    seeds = [each.seed for each in jobs]
    return lambda step: stream.population_batch(tokens, context, size, seeds, step)


def fresh(job: Job, place: torch.device) -> TrainState:
    """A run at its start."""
    model = build(job.model, job.vocab_size)
    initialise(model, job.seed)
    if job.start is not None:
        begin(model, job.start)
    return TrainState.fresh(model.to(place), job.train)


def say(line: str) -> None:
    """A line for the run's log."""
    print(line, file=sys.stderr, flush=True)
