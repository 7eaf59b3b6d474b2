"""Training runs as one population in one process; each ends as an ordinary run: its folder, its result or its failure.

Members may be taken up from checkpoints, alone or in other company than before. One that fails, or whose folder gets a
file named `stop`, leaves without touching the others. May not: see judged text, write the ledger, print.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foundry.core.errors import FoundryError, RequestError, RunFailure
from foundry.core.section import validate
from foundry.data import stream
from foundry.train import checkpoint
from foundry.train.callbacks import LOOK_SECONDS, Cadence, Seen
from foundry.train.cuda_graph import recorded
from foundry.train.device import choose_device, settle
from foundry.train.distributed import World
from foundry.train.loop import Fact, train
from foundry.train.population import Member, Population, bucket, shape_of
from foundry.train.progress import Line
from foundry.train.state import TrainState
from foundry.train.worker import Job, compiler_of, failure, is_machines, report, say, taken_up

STOP = "stop"
"""A file of this name in a run's folder asks its member to save and leave."""


def main(payload: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """Train what `pack` packed to the end, or to the next step once `line.stopping`.

    Returns {"members": [...]}, in the order packed, each what `train.worker.main` returns, or {"status": "failed",
    "reason", "detail"}. `seconds` is a member's share of the population's. Raises RunFailure, RequestError or WorkError
    when it is the population that fails: nothing is known then of any single member.
    """
    started = time.perf_counter()
    jobs = [validate(Job, plain) for plain in unpack(payload)]
    if len({_common(job) for job in jobs}) != 1:
        raise RequestError("train.unlike", "members", "they differ in shape, or one of them trains alone")
    place = choose_device(jobs[0].device)
    settle(place, jobs[0].threads)
    try:
        runs = [_Run(job, place, line) for job in jobs]
        for _, together in itertools.groupby(sorted(runs, key=lambda run: run.state.step), lambda run: run.state.step):
            _Crowd(list(together), place, line, time.perf_counter() - started).go()
        return {"members": [run.result for run in runs]}
    except FoundryError:
        raise
    except Exception as error:
        if is_machines(error):
            raise
        raise failure(error) from error


def pack(jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Payloads of `train.worker.main` as one, small: the first, and how the others differ from it."""
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


class _Run:
    """One member: its job, its state before it joins, its record on disk, and what became of it."""

    def __init__(self, job: Job, place: torch.device, line: Line) -> None:
        self.job = job
        self.folder = Path(job.out) / "checkpoint"
        _, self.state, self.record = taken_up(job, place, line)
        self.member = Member(job.out, job.model, job.train, job.seed)
        self.compiled: bool | None = None if self.record is None else self.record.get("compiled")
        self.result: dict[str, Any] = {}

    def open(self, line: Line, state_now: Callable[[str], TrainState]) -> None:
        """Begin its record. state_now: a member's name → its state at this moment, copied."""
        job = self.job

        def save(facts: dict[str, Any]) -> None:
            state = state_now(job.out)
            if not state.finite():
                raise RunFailure("nan", f"weights are not finite after step {state.step}")
            own = {"identity": job.identity, "compiled": self.compiled}
            checkpoint.save(self.folder, state, {**facts, **own}, finished=state.step == job.steps)

        self.cadence = Cadence(
            Path(job.out),
            line,
            save,
            steps=job.steps,
            step_tokens=job.step_tokens,
            checkpoint_seconds=job.checkpoint_seconds,
            record=self.record,
        )

    def end(self, step: int, facts: Mapping[str, Any]) -> None:
        """Its result, of a run that is done or was stopped."""
        if self.cadence.saved_step < step:
            self.cadence.checkpoint()
        self.result = {
            "status": "done" if step == self.job.steps else "interrupted",
            "steps": step,
            "tokens": step * self.job.step_tokens,
            "train_loss": self.cadence.train_loss(),
            "seconds": round(self.cadence.seconds, 4),
            **facts,
        }
        report(self.job, World(), **self.result)

    def fail(self, known: RunFailure) -> None:
        self.result = {"status": "failed", "reason": known.reason, "detail": known.detail}
        report(self.job, World(), **self.result)


class _Crowd:
    """Runs at one step, on their way together."""

    def __init__(self, runs: list[_Run], place: torch.device, line: Line, setup_seconds: float) -> None:
        self.place, self.line, self.setup_seconds = place, line, setup_seconds
        self.all = [run.job.out for run in runs]
        self.live = {run.job.out: run for run in runs}
        self.job = runs[0].job
        self.population = Population.of([(run.member, run.state) for run in runs])
        self.tokens = stream.open_tokens(Path(self.job.train_dir))
        self.pending: list[tuple[Fact, float]] = []
        for run in runs:
            run.open(line, lambda name: self.population.alone(self._place_of(name)))
            report(run.job, World(), "running", device=str(place), members=len(runs), resumed_at_step=run.state.step)
            del run.state  # the population has it now
        self.looked = self.saved = time.perf_counter()

    def go(self) -> None:
        """Step until the end, or until nobody is left or the line says stop; then write every survivor's end."""
        while self.live:
            self._go_on()
            if self.population.step == self.job.steps or self.line.stopping:
                break
            if self.live:
                self.population = self.population.only([self._place_of(name) for name in self.live])
        for name in list(self.live):
            self._leave(name)

    def _go_on(self) -> None:
        """Step with the present members until the end, a stop, or so many have left that fewer can be stepped."""
        population, job = self.population, self.job
        batch_at = self._batches([member.seed for member in population.members])
        rules = population.rules(job.steps)
        self.compiler = compiler = compiler_of(job, population.model, rules, batch_at, self._decided())
        facts = train(
            population,
            population.model,
            batch_at,
            replace(rules, loss=compiler.loss),
            seed=0,  # nothing is drawn from it: members have no dropout
            steps=job.steps,
            recorded=recorded(self.place, population.optimizer, job.steps - population.step, say),
        )
        for fact in facts:
            now = time.perf_counter()
            self.pending.append((fact, now))
            compiler.note(fact.step)
            for run in self.live.values():
                run.compiled = compiler.decided
            if now - self.looked >= LOOK_SECONDS:
                self._look()
            if now - self.saved >= job.checkpoint_seconds:
                self._save()
            if self.line.stopping or not self.live or bucket(len(self.live)) < len(population.members):
                break
        self._look()

    def _look(self) -> None:
        """Wait for the device; every member's losses go on its record, and whose isn't a number leaves."""
        if not self.pending:
            return
        losses = torch.stack([fact.loss for fact, _ in self.pending]).tolist()
        norms = torch.stack([fact.grad_norm for fact, _ in self.pending]).tolist()
        before, self.looked = self.looked, time.perf_counter()
        share = 1 / len(self.live)
        for name in list(self.live):
            p = self._place_of(name)
            seen = [
                Seen(fact.step, loss[p], norm[p], _rate(fact, p), share * (at - before))
                for (fact, at), loss, norm in zip(self.pending, losses, norms, strict=True)
            ]
            try:
                self.live[name].cadence.take(seen, share * (self.looked - before))
            except RunFailure as known:
                self.live.pop(name).fail(known)
        self.pending.clear()
        for name in [name for name, run in self.live.items() if (Path(run.job.out) / STOP).exists()]:
            (Path(name) / STOP).unlink()
            self._leave(name)
        last = dict(zip([member.name for member in self.population.members], losses[-1], strict=True))
        step = self.population.step
        self.line.tell(
            step=step,
            steps=self.job.steps,
            losses=[last[name] if name in self.live else None for name in self.all],
            tokens=step * self.job.step_tokens * len(self.live),
        )

    def _save(self) -> None:
        """Every member's checkpoint: what was a run alone goes on as one if need be."""
        self._look()
        for name, run in list(self.live.items()):
            try:
                run.cadence.checkpoint()
            except RunFailure as known:
                self.live.pop(name).fail(known)
        self.looked = self.saved = time.perf_counter()

    def _leave(self, name: str) -> None:
        run = self.live.pop(name)
        try:
            run.end(self.population.step, {"setup_seconds": round(self.setup_seconds, 4), **self.compiler.facts()})
        except RunFailure as known:
            run.fail(known)

    def _decided(self) -> bool | None:
        """Whether these members were compiled before they were interrupted, if they agree."""
        decided = {run.compiled for run in self.live.values()}
        return decided.pop() if len(decided) == 1 else None

    def _batches(self, seeds: Sequence[int]) -> Callable[[int], Tensor]:
        """step → [P, B, T + 1] on the device; gathered once where all members have one seed."""
        model, size = self.job.model, self.job.train.batch_size

        def batch_at(step: int) -> Tensor:
            ids = stream.population_batch(self.tokens, model.context, size, seeds, step)
            if self.place.type != "cuda":
                return ids.to(self.place)
            if len(set(seeds)) == 1:  # one copy for all
                return ids[:1].pin_memory().to(self.place, non_blocking=True).expand_as(ids)
            return ids.pin_memory().to(self.place, non_blocking=True)

        return batch_at

    def _place_of(self, name: str) -> int:
        return next(i for i, member in enumerate(self.population.members) if member.name == name)


def _rate(fact: Fact, place: int) -> float:
    return fact.lr[place] if isinstance(fact.lr, Sequence) else fact.lr
