"""Drives runs through train → judge, many at once, and keeps the ledger. May not: decide what to run or who is better.

Asking for a run that is in the ledger returns its stored result at once; a run that another live controller is training
is waited for; one that the machine lost is trained again from its last checkpoint, with the same seed.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundry.core import places
from foundry.core.errors import BrokenCode, RunFailure, WorkError
from foundry.core.files import write_atomic, write_document
from foundry.data.prepared import TOKENIZER, Prepared
from foundry.recipe import Recipe
from foundry.runs import costs
from foundry.runs.arrange import Arranger
from foundry.judge.code import judging_code
from foundry.runs.guard import Guard
from foundry.runs.ledger import Ledger
from foundry.runs.pool import Ended, Event, Pool, Progress, Task
from foundry.runs.result import Limits, RunResult, Silent, Watcher
from foundry.runs.spec import RunSpec

MAX_ATTEMPTS = 3  # of a run that the machine keeps losing, before it counts as crashed
POLL_SECONDS = 0.5
QUIET_SECONDS = 15.0  # by then the pool has ended by force what didn't stop: a task left in it can't be asked for again
STEP_FLOPS_FOR_THREADS = 1 << 30  # a step of less gains nothing from a second core, and loses 20-fold on a busy one


@dataclass
class _Ask:
    """One run wanted on one split, on its way."""

    spec: RunSpec
    data: Prepared
    split: str
    stage: str = "new"
    fence: int = 0
    losses: int = 0

    @property
    def key(self) -> tuple[str, str]:
        return self.spec.id, self.split


class Engine:
    """Use as a context manager: leaving it stops what still runs, checkpoints kept."""

    def __init__(
        self,
        ledger: Ledger,
        jobs: int,
        device: str = "auto",
        judged_bytes: int = 1 << 15,
        limits: Limits = Limits(),
        watcher: Watcher | None = None,
        retry: bool = False,
        checkpoint_seconds: float = 60.0,
    ) -> None:
        self.ledger, self.jobs, self.device = ledger, jobs, device
        self.judged_bytes, self.limits, self.retry = judged_bytes, limits, retry
        self.checkpoint_seconds = checkpoint_seconds
        self.watcher: Watcher = watcher or Silent()
        self._pool: Pool | None = None
        self._arranger: Arranger[_Ask] = Arranger(jobs, device)
        self._asks: dict[tuple[str, str], _Ask] = {}
        self._elsewhere: list[_Ask] = []
        self._measured: dict[str, Ended] = {}
        self.guard = Guard(ledger)
        self._ready: deque[RunResult] = deque()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.cancel_all()
        if self._pool is not None:
            self._pool.close()

    # -- asking ---------------------------------------------------------------------------------------------------

    def submit(self, spec: RunSpec, data: Prepared, split: str = "validation") -> None:
        """Ask for one run's score on `split`; its result comes from `wait`. Asking twice is asking once."""
        ask = _Ask(spec, data, split)
        if ask.key not in self._asks:
            self._asks[ask.key] = ask
            self.ledger.runs.put(spec, judged_hash=data.judged_hash)
            self._advance(ask)

    def wait(self) -> list[RunResult]:
        """Block until something that was asked for is finished; its results. Empty when nothing is under way."""
        while not self._ready and self._asks:
            self._turn()
        results = list(self._ready)
        self._ready.clear()
        return results

    def gather(self, asks: Iterable[tuple[RunSpec, Prepared]], split: str = "validation") -> list[RunResult]:
        """The results of all that is asked for, in the order asked."""
        asks = list(asks)
        for spec, data in asks:
            self.submit(spec, data, split)
        found: dict[str, RunResult] = {}
        wanted = {spec.id for spec, _ in asks}
        while wanted - found.keys():
            found |= {result.id: result for result in self.wait() if result.split == split}
        return [found[spec.id] for spec, _ in asks]

    @property
    def busy(self) -> int:
        """Runs asked for and not yet finished."""
        return len(self._asks)

    def cancel_all(self, why: str = "") -> None:
        """Stop what is under way; a training run saves its checkpoint first and is released for whoever asks next.
        `why` is on its record until then."""
        for task in [*self._arranger.open, *map(_task_id, self._asks.values())]:
            if self._pool is not None:
                self._pool.stop(task)
        deadline = time.monotonic() + QUIET_SECONDS
        while self._pool is not None and self._pool.busy and time.monotonic() < deadline:
            for event in self._pool.poll(0.1):
                for ask, own in self._parts(event):
                    result = own.result if isinstance(own, Ended) and ask.stage == "train" else None
                    if result and result.get("status") == "done":
                        self._trained(ask, result)
        for ask in self._asks.values():
            if ask.fence:
                self.ledger.runs.release(ask.spec.id, ask.fence, why)
        self._asks.clear()
        self._arranger.forget()
        self._elsewhere.clear()

    # -- one run's way ---------------------------------------------------------------------------------------------

    def _advance(self, ask: _Ask) -> None:
        """Put `ask` on its next stage, by what the ledger knows of it."""
        run = self.ledger.runs.get(ask.spec.id)
        score = self.ledger.runs.score(ask.spec.id, ask.split, self.protocol)
        if score is not None:
            return self._end(ask, RunResult(ask.spec, ask.split, "done", bpb=score["bpb"], facts=run, stored=True))
        if run["status"] == "failed" and not self.retry:
            failure = RunResult(ask.spec, ask.split, "failed", run["reason"], run["detail"], facts=run, stored=True)
            return self._end(ask, failure)
        if run["status"] in ("trained", "done") and self._has_weights(ask):
            return self._submit_judge(ask)
        training_here = any(o.stage == "train" and o.spec.id == ask.spec.id for o in self._asks.values())
        again = run["fence"] if run["status"] in ("trained", "done", "failed") else None
        claim = None if training_here else self.ledger.runs.claim(ask.spec.id, again)
        if claim is None:
            ask.stage = "elsewhere"
            self._elsewhere.append(ask)
            return None
        ask.fence = claim
        return self._submit_train(ask)

    def _submit_train(self, ask: _Ask, alone: bool = False) -> None:
        """Let it be trained, in company where that is faster; workspace code always alone."""
        ask.stage = "train"
        if ask.spec.recipe.sources():
            return self._submit_sandboxed(ask)
        return self._arranger.put(ask, _task_id(ask), self.train_payload(ask.spec, ask.data), alone)

    def _submit_sandboxed(self, ask: _Ask) -> None:
        recipe, payload = ask.spec.recipe, self.train_payload(ask.spec, ask.data)
        inside = self.guard.training(recipe, payload, self.memory_bytes)
        self._give(_task_id(ask), "foundry.runs.supervised:train", inside, run_folder(ask.spec.id) / "log.txt")
        self.watcher.started(ask.spec, "train")

    def measure(self, recipe: Recipe, vocab_size: int) -> None:
        """See to it that `costs.flops_per_token` knows the recipe, by counting in a sandbox where its code must run.

        Raises BrokenCode for code that can't be built or run once within a run's own limits, RequestError where this
        machine can't confine it; nothing happens where it is known already."""
        if not recipe.sources():
            return
        self.ledger.recipes.put(recipe)  # so that what is measured, and run later, is what was asked about
        if self.guard.tier and costs.is_known(recipe, vocab_size):
            return
        id = f"measure {recipe.fingerprint} {vocab_size}"
        flops = self.ledger.setting(id)
        if flops is None:
            folder = places.runs().absolute() / "measuring" / recipe.fingerprint
            seconds = 0.9 * min(self.limits.wall_seconds, self.limits.stall_seconds)  # before the pool ends it
            payload = self.guard.measuring(recipe, vocab_size, str(folder), self.memory_bytes, seconds)
            self._give(id, "foundry.runs.supervised:measure", payload, folder.with_suffix(".txt"))
            while id not in self._measured:
                self._turn()
            ended = self._measured.pop(id)
            if ended.result is None:
                raise BrokenCode(recipe.name, _as_failure(ended).reason, ended.detail)
            flops = ended.result["flops_per_token"]
            self.ledger.keep_setting(id, flops)
        costs.learn(recipe, vocab_size, flops)

    def _start_trainings(self) -> None:
        for order in self._arranger.orders():
            log = run_folder(order.items[0].spec.id) / "log.txt" if order.items else places.runs() / "measuring.txt"
            self._give(order.id, order.target, order.payload, log, runs=len(order.items))
            for ask in order.items:
                self.watcher.started(ask.spec, "train")

    def train_payload(self, spec: RunSpec, data: Prepared, folder: Path | None = None) -> dict[str, Any]:
        """What the training worker is given; its folder (the run's own by default) and recipe.yaml exist afterwards."""
        if folder is None and not (kept := tokenizer_file(spec.data_hash)).exists():
            write_atomic(kept, (data.train_dir / TOKENIZER).read_bytes())
        folder, recipe = folder or run_folder(spec.id), spec.recipe.to_dict()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "recipe.yaml").exists():
            spec.recipe.save(folder / "recipe.yaml")
        return {
            "model": recipe["model"],
            "train": recipe["train"],
            "seed": spec.seed,
            "steps": spec.recipe.steps(spec.budget_tokens),
            "vocab_size": data.vocab_size,
            "train_dir": str(data.train_dir),
            "out": str(folder),
            "device": self.device,
            "threads": self.threads(spec, data),
            "checkpoint_seconds": self.checkpoint_seconds,
        }

    def _submit_judge(self, ask: _Ask) -> None:
        payload = {
            "model": ask.spec.recipe.to_dict()["model"],
            "vocab_size": ask.data.vocab_size,
            "checkpoint": str(self._weights(ask)),
            "judge_dir": str(ask.data.judge_dir),
            "split": ask.split,
            "judged_bytes": self.judged_bytes,
            "device": self.device,
            "threads": self.threads(ask.spec, ask.data),
        }
        ask.stage = "judge"
        log, target = run_folder(ask.spec.id) / "judge.txt", "foundry.judge.worker:main"
        if ask.spec.recipe.sources():
            payload, target = self.guard.judging(ask.spec.recipe, payload), "foundry.runs.supervised:judge"
        self._give(_task_id(ask), target, payload, log)
        self.watcher.started(ask.spec, "judge")

    def _give(self, id: str, target: str, payload: dict[str, Any], log: Path, runs: int = 1) -> None:
        if self._pool is None:
            self._pool = Pool(self.jobs)
        limits = self.limits
        limit_data = self.device == "cpu"
        seconds = (max(1, runs) * limits.wall_seconds, limits.stall_seconds)
        self._pool.submit(Task(id, target, payload, log, *seconds, self.memory_bytes, limit_data))

    def _turn(self) -> None:
        """One round of events from the pool, and a look at what other controllers are training."""
        self._start_trainings()
        if self._pool is None:
            time.sleep(POLL_SECONDS)
        else:
            for event in self._pool.poll(POLL_SECONDS if not self._ready else 0):
                if isinstance(event, Ended) and event.id.startswith("measure "):
                    self._measured[event.id] = event
                for ask, own in self._parts(event):
                    if isinstance(own, Progress):
                        self.watcher.progressed(ask.spec, ask.stage, own.facts)
                    elif isinstance(own, Ended):
                        self._ended(ask, own)
        waiting, self._elsewhere = self._elsewhere, []
        for ask in waiting:
            self._advance(ask)

    def _parts(self, event: Event) -> list[tuple[_Ask, Event]]:
        """What an event of the pool is for each ask that its task is about."""
        ask = self._ask_of(event.id)
        return [(ask, event)] if ask is not None else self._arranger.parts(event)

    def _ended(self, ask: _Ask, event: Ended) -> None:
        if event.reason == "lost" and ask.losses + 1 < MAX_ATTEMPTS:
            ask.losses += 1
            return self._submit_train(ask) if ask.stage == "train" else self._submit_judge(ask)
        if event.reason is not None:
            return self._failed(ask, _as_failure(event))
        result = event.result or {}
        if ask.stage == "judge":
            return self._judged(ask, result)
        if result.get("status") != "done":  # stopped before its end by somebody else's signal
            return self._submit_train(ask)
        self._trained(ask, result)
        return self._submit_judge(ask)

    def _trained(self, ask: _Ask, result: dict[str, Any]) -> None:
        self.record_trained(ask.spec, ask.data, ask.fence, result)
        ask.fence = 0

    def record_trained(self, spec: RunSpec, data: Prepared, fence: int, result: dict[str, Any]) -> None:
        """Put what a training worker returned on the record. Raises WorkError when the lease was lost."""
        flops = result["tokens"] * spec.flops_per_token(data.vocab_size)
        tier = self.guard.tier if spec.recipe.sources() else "none"
        self.ledger.runs.trained(spec.id, fence, {**result, "flops": flops, "device": self.device, "tier": tier})

    def _judged(self, ask: _Ask, score: dict[str, Any]) -> None:
        self.ledger.runs.add_score(ask.spec.id, ask.split, score, self.protocol)
        run = self.ledger.runs.get(ask.spec.id)
        self._end(ask, RunResult(ask.spec, ask.split, "done", bpb=score["bpb"], facts=run))

    def _failed(self, ask: _Ask, failure: RunFailure) -> None:
        self.ledger.runs.fail(ask.spec.id, ask.fence or None, failure.reason, failure.detail)
        run = self.ledger.runs.get(ask.spec.id)
        self._end(ask, RunResult(ask.spec, ask.split, "failed", failure.reason, failure.detail, facts=run))

    def _end(self, ask: _Ask, result: RunResult) -> None:
        del self._asks[ask.key]
        if not result.stored:
            folder = run_folder(ask.spec.id)
            write_document(folder / "status.json", result.to_json())
            shutil.rmtree(folder / "checkpoint" / "optimizer", ignore_errors=True)
        self._ready.append(result)
        self.watcher.ended(result)

    # -- small facts -----------------------------------------------------------------------------------------------

    @property
    def protocol(self) -> str:
        """How this engine's scores are measured; those of another protocol are not asked for."""
        return f"judge {judging_code()[:12]}, {self.judged_bytes} bytes"

    @property
    def memory_bytes(self) -> int:
        """What one worker may use."""
        return self.limits.memory_bytes or int(0.9 * _memory_bytes() / self.jobs)

    @property
    def cores_each(self) -> int:
        """What a worker may keep busy."""
        return max(1, (os.cpu_count() or 1) // self.jobs)

    def threads(self, spec: RunSpec, data: Prepared) -> int:
        """All of a worker's cores, where a step has enough for them to do; in a small one they only wait."""
        known = costs.is_known(spec.recipe, data.vocab_size)
        step_flops = spec.recipe.step_tokens * spec.flops_per_token(data.vocab_size) if known else 0
        return self.cores_each if step_flops >= STEP_FLOPS_FOR_THREADS else 1

    def _has_weights(self, ask: _Ask) -> bool:
        """Whether what was trained is still there as it was saved; a torn checkpoint is removed, to be trained anew."""
        from foundry.train.checkpoint import load_weights

        folder = self._weights(ask)
        try:
            load_weights(folder)
        except WorkError:
            shutil.rmtree(folder, ignore_errors=True)
            return False
        return True

    def _weights(self, ask: _Ask) -> Path:
        return run_folder(ask.spec.id) / "checkpoint"

    def _ask_of(self, task_id: str) -> _Ask | None:
        run, _, split = task_id.partition("/")
        return self._asks.get((run, split))


def run_folder(run_id: str) -> Path:
    return places.runs().absolute() / run_id[:16]  # workers may stand elsewhere


def tokenizer_file(data_hash: str) -> Path:
    """The tokenizer that runs on this data need to be used, kept with them: the corpus may change or go."""
    return places.runs().absolute() / "tokenizers" / f"{data_hash}.json"


def _as_failure(event: Ended) -> RunFailure:
    """How a task ended that has no result; one that the machine keeps losing counts as crashed."""
    return RunFailure("crash" if event.reason in ("lost", None) else event.reason, event.detail)


def _task_id(ask: _Ask) -> str:
    return f"{ask.spec.id}/{ask.split}"


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
