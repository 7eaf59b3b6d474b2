"""One training run in one process: from a payload of plain values to a checkpoint, resuming by itself.

Writes in `out/`: metrics.jsonl, checkpoint/, status.json. May not: see judged text, write the ledger, print.
"""

from __future__ import annotations

import errno
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from foundry.core.errors import FoundryError, RunFailure, WorkError
from foundry.core.files import write_json
from foundry.core.fingerprint import fingerprint
from foundry.core.section import Section, validate
from foundry.data import stream
from foundry.model import GPT, ModelConfig, build, initialise
from foundry.train import checkpoint
from foundry.train.callbacks import Cadence
from foundry.train.code import training_code
from foundry.train.config import TrainConfig
from foundry.train.cuda_graph import recorded
from foundry.train.device import choose_device, settle
from foundry.train.distributed import World
from foundry.train.loop import Rules, train
from foundry.train.progress import Line
from foundry.train.state import TrainState
from foundry.train.torch_compile import Compiler, Mode, Swappable

BatchAt = Callable[[int], torch.Tensor]
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "bad_alloc")
"""How torch's allocators and the libraries below them say so, in a RuntimeError without a type of its own."""


class Job(Section):
    """The payload of `main`. What it computes is (model, train, seed, steps, vocab_size) and the data's content."""

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
    compile: Mode = "auto"
    """Whether torch.compile is used; auto: where it pays (torch_compile.py)."""

    @property
    def step_tokens(self) -> int:
        return self.train.batch_size * self.model.context

    @property
    def identity(self) -> str:
        """Says which run a checkpoint belongs to, wherever and however it was computed."""
        return fingerprint(self.model_dump(mode="json", include={"model", "train", "seed", "steps", "vocab_size"}))


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
        return _run(job, world, line, started, supply)
    except FoundryError:
        raise
    except Exception as error:
        if is_machines(error):
            raise
        known = failure(error)
        report(job, world, "failed", reason=known.reason, detail=known.detail)
        raise known from error


def _run(job: Job, world: World, line: Line, started: float, supply: BatchAt | None) -> dict[str, Any]:
    world.check(job.train)
    place = choose_device(job.device, world.local_rank)
    settle(place, job.threads)
    folder = Path(job.out) / "checkpoint"

    model, state, record = taken_up(job, place, line)
    forward = world.join(model, place)  # what wraps the model, gradient exchange or torch.compile, goes around it here
    world.meet(state.step, place)

    def save(facts: dict[str, Any]) -> None:
        if not state.finite():  # the loss is that of the weights before the step
            raise RunFailure("nan", f"weights are not finite after step {state.step}")
        own = {"identity": job.identity, "compiled": compiler.decided if compiler else None}
        checkpoint.save(folder, state, {**facts, **own}, finished=state.step == job.steps)

    cadence = Cadence(
        Path(job.out),
        line,
        save,
        steps=job.steps,
        step_tokens=job.step_tokens,
        checkpoint_seconds=job.checkpoint_seconds,
        record=record,
        writes=world.rank == 0,
    )
    batch_at = _batches(job, world, place, supply)
    # under torchrun processes would decide apart, each by its own clock; in a sandbox there is no compiler to run
    may_compile = world.size == 1 and supply is None
    rules = Rules.of(job.train, state.optimizer, job.steps)
    compiler = compiler_of(job, model, rules, batch_at, record["compiled"] if record else None) if may_compile else None
    report(job, world, "running", device=str(place), threads=torch.get_num_threads(), resumed_at_step=state.step)
    setup_seconds = time.perf_counter() - started

    may_record = world.size == 1 and not job.model.dropout
    facts = train(
        state,
        forward,
        batch_at,
        rules if compiler is None else replace(rules, loss=compiler.loss),
        seed=job.seed,
        steps=job.steps,
        rank=world.rank,
        recorded=recorded(place, state.optimizer, job.steps - state.step, say) if may_record else None,
    )
    for fact in facts:
        fact = world.mean(fact)
        cadence.note(fact)
        if compiler is not None:
            compiler.note(fact.step)
        if world.agree(line.stopping, fact):
            break
    if cadence.saved_step < state.step:
        cadence.checkpoint()
    world.meet(state.step, place)  # nobody leaves before the checkpoint is whole

    result = {
        "status": "done" if state.step == job.steps else "interrupted",
        "steps": state.step,
        "tokens": state.step * job.step_tokens,
        "train_loss": cadence.train_loss(),
        "seconds": round(cadence.seconds, 4),
        "setup_seconds": round(setup_seconds, 4),
        **(compiler.facts() if compiler else {}),
    }
    report(job, world, **result)
    return result


def taken_up(job: Job, place: torch.device, line: Line) -> tuple[GPT, TrainState, dict[str, Any] | None]:
    """A run as its checkpoint has it, and the record that was saved with it; at its start, and None, without one.

    A checkpoint that is torn or doesn't fit is a run at its start: said, removed, and trained again."""
    folder = Path(job.out) / "checkpoint"
    while True:
        model = build(job.model, job.vocab_size)
        initialise(model, job.seed)
        state = TrainState.fresh(model.to(place), job.train)
        try:
            return model, state, checkpoint.load(folder, state, job.identity)
        except WorkError as error:  # part of it may be in the state already
            again = f"trained again from the start: {error.path}: {error.message}"
        say(again)
        line.tell(note=again)
        checkpoint.discard(folder)  # under torchrun by each process: none saves before all are here


def _batches(job: Job, world: World, place: torch.device, supply: BatchAt | None) -> BatchAt:
    """step → this process's rows of the batch, on the device."""
    read = supply or reader(job, world)

    def batch_at(step: int) -> torch.Tensor:
        ids = read(step)
        return ids.pin_memory().to(place, non_blocking=True) if place.type == "cuda" else ids.to(place)

    return batch_at


def reader(job: Job, world: World) -> BatchAt:
    """step → this process's rows of the batch, from the training tokens in `train_dir`."""
    tokens = stream.open_tokens(Path(job.train_dir))
    sizes = (job.model.context, job.train.batch_size, job.seed)
    return lambda step: stream.batch(tokens, *sizes, step, rank=world.rank, world=world.size)


def compiler_of(job: Job, model: GPT, rules: Rules, batch_at: BatchAt, decided: bool | None = None) -> Compiler:
    """What decides whether `model`, alone or a stack, is compiled; its `loss` stands for that of `rules`."""
    batch = {"rows": job.train.batch_size // rules.accumulation, "members": model.members}
    sections = {"model": job.model.model_dump(mode="json"), "train": job.train.model_dump(mode="json")}
    shape = {**sections["model"], **batch, "vocab_size": job.vocab_size, "code": training_code(sections)}
    return Compiler(
        model,
        Swappable(rules.loss),
        batch_at,
        rules.accumulation,
        shape,
        job.steps,
        rules.precision,
        decided,
        job.compile,
        say,
    )


def say(line: str) -> None:
    """A line for the run's log."""
    print(line, file=sys.stderr, flush=True)


def report(job: Job, world: World, status: str, **facts: Any) -> None:
    """status.json: what the training side knows of the run."""
    if world.rank == 0:
        about = {"status": status, "seed": job.seed, "of_steps": job.steps, "processes": world.size}
        write_json(Path(job.out) / "status.json", {**about, **facts})


def is_machines(error: Exception) -> bool:
    """Whether an error says nothing of the run: files here are the machine's."""
    return isinstance(error, OSError) and error.errno != errno.ENOMEM


def failure(error: Exception) -> RunFailure:
    """What an exception in a run means: `oom` when memory ran out, else `crash`: its type, message and place.

    The traceback goes to stderr, which is the run's log.
    """
    if isinstance(error, RunFailure):
        return error
    traceback.print_exception(error)
    text = " ".join(str(error).split())
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(sign in text for sign in OUT_OF_MEMORY)
    )
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in last)
    return RunFailure("oom" if out_of_memory else "crash", f"{type(error).__name__}: {text[:500]}{where}")
