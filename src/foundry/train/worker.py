"""Training in one process, one run or a population: from payloads of plain values to checkpoints, resuming by itself.

Writes in each run's `out/`: metrics.jsonl, checkpoint/, status.json. Members of a population may be taken up alone or
in other company than before; one that fails, or whose folder gets a file named `stop`, leaves without touching the
others. May not: see judged text, write the ledger, print.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from foundry.core.errors import FoundryError, RequestError, RunFailure, WorkError
from foundry.core.files import write_json
from foundry.core.section import validate
from foundry.train import checkpoint
from foundry.train.callbacks import Callbacks, Record
from foundry.train.device import choose_device, settle
from foundry.train.distributed import World
from foundry.train.population import bucket, shape_of
from foundry.train.program import BatchAt, Job, Program, fresh, say
from foundry.train.progress import Line
from foundry.train.state import TrainState

OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "bad_alloc")
"""How torch's allocators and the libraries below them say so, in a RuntimeError without a type of its own."""


def main(payload: Mapping[str, Any], line: Line, supply: BatchAt | None = None) -> dict[str, Any]:
    """Train a run to its end, or to the next step once `line.stopping`; goes on from `out/checkpoint` if there is one.

    supply: step → int64 ids [B, T + 1] on the CPU, where somebody else reads the training tokens and hands them over.

    Returns {"status": "done" or "interrupted", "steps", "tokens", "train_loss", "seconds", "setup_seconds"}: steps
    and tokens so far, train_loss the mean over the last 5% of the steps, seconds those of training over all
    interruptions. Raises RunFailure (`nan`, `oom`, `crash`); RequestError for a payload that can't be run;
    WorkError for a checkpoint that can't be trusted.
    """
    started = time.perf_counter()
    job, world = validate(Job, dict(payload)), World.from_torchrun()
    try:
        with named_failures():
            (run,) = _train([job], world, line, started, supply)
    except RunFailure as known:
        report(job, world, "failed", reason=known.reason, detail=known.detail)
        raise
    return run.result


def together(payload: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """Train what `pack` packed, as `main` trains one.

    Returns {"members": [...]}, in the order packed, each what `main` returns, or {"status": "failed", "reason",
    "detail"}. `seconds` is a member's share of the population's. Raises RunFailure, RequestError or WorkError when it
    is the population that fails: nothing is known then of any single member.
    """
    started = time.perf_counter()
    jobs = [validate(Job, plain) for plain in unpack(payload)]
    if len({_common(job) for job in jobs}) != 1:
        raise RequestError("train.unlike", "members", "they differ in shape, or one of them trains alone")
    with named_failures():
        return {"members": [run.result for run in _train(jobs, World(), line, started, alone=False)]}


def pack(jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Payloads of `main` as one, small: the first, and how the others differ from it."""
    return {"first": dict(jobs[0]), "others": [_difference(jobs[0], job) for job in jobs[1:]]}


def unpack(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The inverse of `pack`."""
    return [dict(payload["first"]), *(_changed(payload["first"], other) for other in payload["others"])]


def _difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """What `_changed` needs to make b of a; parts of another kind are given whole."""
    rest = {}
    for key, value in b.items():
        old = a.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and value.keys() == old.keys():
            if inner := _difference(old, value):
                rest[key] = {"changes": inner}
        elif value != old or type(value) is not type(old):
            rest[key] = {"value": value}
    return rest


def _changed(a: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    new = dict(a)
    for key, change in rest.items():
        new[key] = change["value"] if "value" in change else _changed(a[key], change["changes"])
    return new


def _common(job: Job) -> str:
    """Equal for jobs that can be one population; another value for each that can't."""
    shape = shape_of(job.model, job.train)
    whose = job.out if shape is None else shape
    return repr((whose, job.steps, job.vocab_size, job.train_dir, job.device, job.threads, job.compile))


class Run:
    """One run on its way: its job, its record on disk, its state wherever it is now, and what became of it."""

    def __init__(self, job: Job, world: World, place: torch.device, line: Line) -> None:
        self.job, self.world, self.place = job, world, place
        state, saved = taken_up(job, place, line)
        self.state_now: Callable[[], TrainState] = lambda: state
        self.compiled: bool | None = (saved or {}).get("compiled")
        self.result: dict[str, Any] = {}
        self.record = Record(
            Path(job.out),
            self._save,
            steps=job.steps,
            step_tokens=job.step_tokens,
            saved=saved,
            writes=world.rank == 0,
        )

    def end(self, facts: Mapping[str, Any]) -> None:
        """Its last checkpoint and its result, of a run that is done or was stopped. Raises RunFailure."""
        record, job = self.record, self.job
        if record.saved_step < record.step:
            record.checkpoint()
        self.world.meet(record.step, self.place)  # nobody leaves before the checkpoint is whole
        self.result = {
            "status": "done" if record.step >= job.steps else "interrupted",
            "steps": record.step,
            "tokens": record.step * job.step_tokens,
            "train_loss": record.train_loss(),
            "seconds": round(record.seconds, 4),
            **facts,
        }
        report(job, self.world, **self.result)

    def fail(self, known: RunFailure) -> None:
        self.result = {"status": "failed", "reason": known.reason, "detail": known.detail}
        report(self.job, self.world, **self.result)

    def _save(self, facts: dict[str, Any]) -> None:
        state, job = self.state_now(), self.job
        if not state.finite():  # the loss is that of the weights before the step
            raise RunFailure("nan", f"weights are not finite after step {state.step}")
        own = {"identity": job.identity, "compiled": self.compiled}
        checkpoint.save(_folder(job), state, {**facts, **own}, finished=state.step >= job.steps)


def _train(
    jobs: Sequence[Job], world: World, line: Line, started: float, supply: BatchAt | None = None, alone: bool = True
) -> list[Run]:
    """Jobs that can be one program, each to its end. alone: it is one, and raises when it fails."""
    world.check(jobs[0].train)
    place = choose_device(jobs[0].device, world.local_rank)
    settle(place, jobs[0].threads)
    runs = [Run(job, world, place, line) for job in jobs]
    everyone = None if alone else [run.record for run in runs]
    for _, crew in itertools.groupby(sorted(runs, key=_step), _step):
        _Crew(list(crew), line, started, everyone).train(supply)
    return runs


def _step(run: Run) -> int:
    return run.record.step


class _Crew:
    """Runs at one step, on their way together."""

    def __init__(self, runs: list[Run], line: Line, started: float, everyone: Sequence[Record] | None) -> None:
        self.runs, self.line, self.started, self.everyone = runs, line, started, everyone
        self.job, self.world, self.place = runs[0].job, runs[0].world, runs[0].place
        self.facts: Callable[[], dict[str, Any]] = dict

    def train(self, supply: BatchAt | None) -> None:
        """Step until the end, or until nobody is left or the line says stop; then write every survivor's end."""
        program = self._program(supply)
        self.world.meet(program.step, self.place)
        callbacks = Callbacks(
            self.line,
            self.job.checkpoint_seconds,
            everyone=self.everyone,
            on_failure=self._fail,
            on_stop=self._leave,
        )
        setup = {"device": str(self.place), "threads": torch.get_num_threads(), "members": len(self.runs)}
        for run in self.runs:
            report(run.job, self.world, "running", **setup, resumed_at_step=program.step)
        setup_seconds = round(time.perf_counter() - self.started, 4)
        self.facts = lambda: {"setup_seconds": setup_seconds, **program.facts()}
        while not self._is_over(program, callbacks):
            self.runs = self._live()
            program = self._program(supply)
        for run in self._live():
            self._leave(run.record)

    def _is_over(self, program: Program, callbacks: Callbacks) -> bool:
        """Step with the present members until the end, a stop, or so many have left that fewer can be stepped."""
        callbacks.records = [run.record for run in self.runs]
        before = {run.compiled for run in self.runs}
        steps = program.steps(before.pop() if len(before) == 1 else None)
        for run in self.runs:
            run.compiled = program.compiled is not None
        stopped = False
        for info in steps:
            info = self.world.mean(info)
            callbacks.note(info)
            live = len(callbacks.live)
            stopped = self.world.agree(self.line.stopping, info)
            if stopped or not live or bucket(live) < len(self.runs):
                break
        callbacks.look()
        return stopped or not callbacks.live or program.step >= self.job.steps

    def _program(self, supply: BatchAt | None) -> Program:
        """The present runs as one program; they are in its order then."""
        jobs, states = [run.job for run in self.runs], [run.state_now() for run in self.runs]
        program = Program(jobs, states, self.place, self.world, supply)
        self.runs = [self.runs[i] for i in program.order]
        for place, run in enumerate(self.runs):
            run.state_now = partial(program.state_of, place)
        return program

    def _live(self) -> list[Run]:
        return [run for run in self.runs if not run.record.left]

    def _leave(self, record: Record) -> None:
        """Save and end one of the runs."""
        try:
            self._run_of(record).end(self.facts())
        except RunFailure as known:
            self._fail(record, known)
        record.leave()

    def _fail(self, record: Record, known: RunFailure) -> None:
        if self.everyone is None:
            raise known
        self._run_of(record).fail(known)
        record.leave()

    def _run_of(self, record: Record) -> Run:
        return next(run for run in self.runs if run.record is record)


def taken_up(job: Job, place: torch.device, line: Line) -> tuple[TrainState, dict[str, Any] | None]:
    """A run as its checkpoint has it, and what was saved with it; at its start, and None, without one.

    A checkpoint that is torn or doesn't fit is a run at its start: said, removed, and trained again."""
    while True:
        state = fresh(job, place)
        try:
            return state, checkpoint.load(_folder(job), state, job.identity)
        except WorkError as error:  # part of it may be in the state already
            again = f"trained again from the start: {error.path}: {error.message}"
        say(again)
        line.tell(note=again)
        checkpoint.discard(_folder(job))  # under torchrun by each process: none saves before all are here


def _folder(job: Job) -> Path:
    return Path(job.out) / "checkpoint"


def report(job: Job, world: World, status: str, **facts: Any) -> None:
    """status.json: what the training side knows of the run."""
    if world.rank == 0:
        about = {"status": status, "seed": job.seed, "of_steps": job.steps, "processes": world.size}
        write_json(Path(job.out) / "status.json", {**about, **facts})


@contextlib.contextmanager
def named_failures() -> Iterator[None]:
    """A RunFailure for what an exception in a run means; what is a request's or the machine's goes on as it is."""
    try:
        yield
    except (FoundryError, RunFailure):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:  # files here are the machine's
            raise
        raise failure(error) from error


def failure(error: Exception) -> RunFailure:
    """`oom` when memory ran out, else `crash`: an exception's type, message and place.

    The traceback goes to stderr, which is the run's log.
    """
    traceback.print_exception(error)
    text = " ".join(str(error).split())
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(sign in text for sign in OUT_OF_MEMORY)
    )
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in last)
    return RunFailure("oom" if out_of_memory else "crash", f"{type(error).__name__}: {text[:500]}{where}")
