"""Drives runs through train → judge, many at once, and keeps the ledger. May not: decide what to run or who is better.

Asking for a run that is in the ledger returns its stored result at once; a run that another live controller is training
is waited for; one that the machine lost is trained again from its last checkpoint, with the same seed, and is booked as
nobody's failure: a machine that keeps losing it ends the command.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from foundry.core import places
from foundry.core.errors import LOST, RunFailure
from foundry.core.files import write_atomic, write_document
from foundry.data.prepare import restored
from foundry.data.prepared import TOKENIZER, Prepared
from foundry.execute import linux
from foundry.execute.executor import Ended, Event, Executor, Progress, Task
from foundry.execute.failures import MAX_ATTEMPTS, failure, given_up, is_machines
from foundry.execute.pack_populations import Pace, PopulationPacker, contradict
from foundry.execute.result import Limits, RunResult, Silent, Watcher
from foundry.execute.untrusted import flops_on_record
from foundry.execute.untrusted.choose_tier import Guard
from foundry.judge.code import judging_code
from foundry.ledger import folders, weights
from foundry.ledger.ledger import Ledger
from foundry.ledger.run_spec import RunSpec
from foundry.ledger.weights import Hold, run_folder, tokenizer_file
from foundry.recipe import Recipe, costs
from foundry.train.torch_compile import asked_mode

POLL_SECONDS = 0.5
SUPERVISED = "foundry.execute.untrusted.harness:train"
QUIET_SECONDS = (
    15.0  # by then the executor has ended by force what didn't stop: a task left in it can't be asked for again
)
STEP_FLOPS_FOR_THREADS = 1 << 30  # a step of less gains nothing from a second core, and loses 20-fold on a busy one


@dataclass
class _Ask:
    """One run wanted on one split, on its way."""

    spec: RunSpec
    data: Prepared
    split: str
    weights: bool = False  # whether they are wanted, too, where it has its score already
    confined: bool = False
    in_doubt: bool = False  # a sample of the judged text has failed: all of it decides
    pace: Pace | None = None
    stage: str = "new"
    fence: int = 0
    losses: int = 0
    allowed: Limits = Limits()
    hold: Hold | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.spec.id, self.split

    def let_go(self) -> None:
        if self.hold is not None:
            self.hold.close()
            self.hold = None


class Scheduler:
    """Use as a context manager: leaving it stops what still runs, checkpoints kept."""

    def __init__(
        self,
        ledger: Ledger,
        executor: Executor,
        device: str = "auto",
        judged_bytes: int = 1 << 15,
        limits: Limits = Limits(),
        watcher: Watcher | None = None,
        retry: bool = False,
        checkpoint_seconds: float = 60.0,
    ) -> None:
        """executor: an idle one, the engine's own from now on."""
        self.ledger, self.executor, self.device = ledger, executor, device
        self.jobs = jobs = executor.free
        self.judged_bytes, self.limits, self.retry = judged_bytes, limits, retry
        self.checkpoint_seconds = checkpoint_seconds
        self.watcher: Watcher = watcher or Silent()
        self._arranger: PopulationPacker[_Ask] = PopulationPacker(jobs, device)
        self._asks: dict[tuple[str, str], _Ask] = {}
        self._due: deque[_Ask] = deque()
        """To be given to the executor once all that is wanted at once is known."""
        self._elsewhere: list[_Ask] = []
        self._measurements: dict[str, Ended] = {}
        self.guard = Guard(ledger)
        self._ready: deque[RunResult] = deque()

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.cancel_all()
        finally:
            self.executor.close()

    # -- asking ---------------------------------------------------------------------------------------------------

    def submit(
        self, spec: RunSpec, data: Prepared, split: str = "validation", weights: bool = False, confined: bool = False
    ) -> None:
        """Ask, once, for one run's score on `split`, and its `weights`; confined: as workspace code."""
        ask = _Ask(spec, data, split, weights, confined or bool(spec.recipe.sources()))
        if ask.key not in self._asks:
            self.measure(spec.recipe, data.vocab_size)
            self._asks[ask.key] = ask
            self.ledger.runs.put(spec, judged_hash=data.judged_hash)
            self._advance(ask)

    def wait(self) -> list[RunResult]:
        """Wait for results, none when nothing is under way. Raises WorkError for what the machine keeps losing."""
        while not self._ready and self._asks:
            self._turn()
        results = list(self._ready)
        self._ready.clear()
        return results

    def gather(self, asks: Iterable[tuple[RunSpec, Prepared]], split: str = "validation") -> list[RunResult]:
        """The results of all that is asked for, in the order asked."""
        for spec, data in (asks := list(asks)):
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
            self.executor.stop(task)
        deadline = time.monotonic() + QUIET_SECONDS
        while self.executor.busy and time.monotonic() < deadline:
            for event in self.executor.poll(0.1):
                for ask, own in self._parts(event):
                    result = own.result if isinstance(own, Ended) and ask.stage == "train" else None
                    if result and result.get("status") == "done":
                        self._trained(ask, result)
        asks = list(self._asks.values())
        self._asks.clear()
        self._arranger.forget()
        self._due.clear()
        self._elsewhere.clear()
        for ask in asks:
            ask.let_go()
            if ask.fence:
                self.ledger.runs.release(ask.spec.id, ask.fence, why)

    # -- one run's way ---------------------------------------------------------------------------------------------

    def _advance(self, ask: _Ask) -> None:
        """Put `ask` on its next stage, by what the ledger knows of it."""
        run, id = self.ledger.runs.get(ask.spec.id), ask.spec.id
        score = self.ledger.runs.score(id, ask.split, self.protocol)
        if score is not None and not (ask.weights and not self._has_weights(ask)):
            probes = json.loads(score["probes"])
            return self._end(ask, RunResult.scored(ask.spec, ask.split, score["bpb"], probes, run, stored=True))
        if run["status"] == "failed" and not self.retry and not self._leave_more(run):
            failure = RunResult(ask.spec, ask.split, "failed", run["reason"], run["detail"], facts=run, stored=True)
            return self._end(ask, failure)
        if run["status"] in ("trained", "done") and self._has_weights(ask):
            return self._put(ask, "judge")
        training_here = any(o.stage == "train" and o.spec.id == id for o in self._asks.values())
        again = run["fence"] if run["status"] in ("trained", "done", "failed") else None
        claim = None if training_here else self.ledger.runs.claim(id, again)
        if claim is None:
            ask.stage = "elsewhere"
            self._elsewhere.append(ask)
            return None
        ask.fence = claim
        return self._put(ask, "train")

    def _put(self, ask: _Ask, stage: str) -> None:
        ask.stage = stage
        self._due.append(ask)

    def _give_due(self) -> None:
        """Hand over what is due: a run may use its share of the machine by what can run at once."""
        while self._due:
            ask = self._due.popleft()
            ask.data = restored(ask.spec.recipe.data, ask.data)
            self._submit_judge(ask) if ask.stage == "judge" else self._submit_train(ask)
        for order in self._arranger.orders():
            log = places.runs().absolute() / "measuring.txt"
            for ask in order.items:
                ask.pace, log = order.pace, run_folder(order.items[0].spec.id) / "log.txt"
            self._give(order.id, order.target, order.payload, log, *order.items)

    def _submit_train(self, ask: _Ask) -> None:
        """Let it be trained, in company where that is faster; workspace code always alone."""
        recipe, payload = ask.spec.recipe, self.train_payload(ask.spec, ask.data)
        if not ask.confined:
            return self._arranger.put(ask, _task_id(ask), payload)
        inside = self.guard.training(recipe, payload, self.memory_bytes_for_code)
        return self._give(_task_id(ask), SUPERVISED, inside, run_folder(ask.spec.id) / "log.txt", ask)

    def _submit_judge(self, ask: _Ask) -> None:
        payload = {
            "model": ask.spec.recipe.to_dict()["model"],
            "vocab_size": ask.data.vocab_size,
            "checkpoint": str(weights.weights_folder(ask.spec.id)),
            "judge_dir": str(ask.data.judge_dir),
            "split": ask.split,
            "judged_bytes": self.judged_bytes,
            "device": self.device,
            "threads": self.threads(ask.spec, ask.data),
            "sampled": not (ask.in_doubt or ask.confined),
        }
        target = "foundry.judge.worker:main"
        if ask.confined:
            payload, target = self.guard.judging(ask.spec.recipe, payload), "foundry.execute.untrusted.harness:judge"
        self._give(_task_id(ask), target, payload, run_folder(ask.spec.id) / "judge.txt", ask)

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
            "compile": asked_mode(),
            **({"start": spec.recipe.init.start()} if spec.recipe.init else {}),
        }

    def measure(self, recipe: Recipe, vocab_size: int) -> None:
        """See to it that `costs.flops_per_token` knows the recipe, by counting in a sandbox where its code must run.
        Raises BrokenCode for code that can't run within its limits, RequestError and WorkError for this machine."""
        limits = replace(self.limits, memory_bytes=self.memory_bytes_for_code)
        flops_on_record.measure(recipe, vocab_size, self.ledger, self.guard, limits, self._measured)

    def _measured(self, id: str, target: str, payload: dict[str, Any], log: Path) -> Ended:
        self._give(id, target, payload, log)
        while id not in self._measurements:
            self._turn()
        return self._measurements.pop(id)

    def _give(self, id: str, target: str, payload: dict[str, Any], log: Path, *asks: _Ask) -> None:
        memory_bytes = self.memory_bytes if asks and not asks[0].confined else self.memory_bytes_for_code
        limits = Limits(self.limits.wall_seconds * max(1, len(asks)), self.limits.stall_seconds, memory_bytes)
        self.executor.submit(Task(id, target, payload, log, **asdict(limits), limit_data=self.device == "cpu"))
        for ask in asks:
            ask.allowed = limits
            self.watcher.started(ask.spec, ask.stage)

    def _turn(self) -> None:
        """One round of events from the executor, and a look at what other controllers are training."""
        self._give_due()
        for event in self.executor.poll(0 if self._ready else POLL_SECONDS):
            if isinstance(event, Ended) and event.id.startswith("measure "):
                self._measurements[event.id] = event
            for ask, own in self._parts(event):
                if isinstance(own, Progress):
                    self.watcher.progressed(ask.spec, ask.stage, own.facts)
                elif isinstance(own, Ended):
                    self._ended(ask, own)
        waiting, self._elsewhere = self._elsewhere, []
        for ask in waiting:
            self._advance(ask)

    def _parts(self, event: Event) -> list[tuple[_Ask, Event]]:
        """What an event of the executor is for each ask that its task is about."""
        run, _, split = event.id.partition("/")
        ask = self._asks.get((run, split))
        return [(ask, event)] if ask is not None else self._arranger.parts(event)

    def _ended(self, ask: _Ask, event: Ended) -> None:
        if is_machines(event):
            ask.losses += 1
            if ask.losses < MAX_ATTEMPTS:
                return self._put(ask, "train") if ask.stage == "train" else self._advance(ask)
            if event.reason == LOST:
                raise given_up(ask.spec.id, event)
        if event.reason is not None:
            return self._failed(ask, failure(event))
        result = event.result or {}
        if ask.stage == "judge" and "in_doubt" in result:
            ask.in_doubt = True
            return self._put(ask, "judge")
        if ask.stage == "judge":
            return self._judged(ask, result)
        if result.get("status") != "done":  # stopped before its end by somebody else's signal
            return self._put(ask, "train")
        self._trained(ask, result)
        return self._advance(ask)

    def _trained(self, ask: _Ask, result: dict[str, Any]) -> None:
        if ask.pace is not None:
            contradict(ask.pace, result)
        self.record_trained(ask.spec, ask.data, ask.fence, result)
        ask.fence = 0

    def record_trained(self, spec: RunSpec, data: Prepared, fence: int, result: dict[str, Any]) -> None:
        """Put what a training worker returned on the record. Raises WorkError when the lease was lost."""
        flops = result["tokens"] * spec.flops_per_token(data.vocab_size)
        facts = {"tier": "none", **result, "flops": flops, "device": self.device}
        self.ledger.runs.trained(spec.id, fence, {**facts, "weights_bytes": weights.size_bytes(spec.id)})

    def _judged(self, ask: _Ask, score: dict[str, Any]) -> None:
        self.ledger.runs.add_score(ask.spec.id, ask.split, score, self.protocol)
        run, probes = self.ledger.runs.get(ask.spec.id), score.get("probes", {})
        self._end(ask, RunResult.scored(ask.spec, ask.split, score["bpb"], probes, run))

    def _failed(self, ask: _Ask, failure: RunFailure) -> None:
        fence, limits = ask.fence or None, asdict(ask.allowed)
        self.ledger.runs.fail(ask.spec.id, fence, failure.reason, failure.detail, limits)
        run = self.ledger.runs.get(ask.spec.id)
        self._end(ask, RunResult(ask.spec, ask.split, "failed", failure.reason, failure.detail, facts=run))

    def _end(self, ask: _Ask, result: RunResult) -> None:
        del self._asks[ask.key]
        ask.let_go()
        if not result.stored:
            write_document(run_folder(ask.spec.id) / "status.json", result.document.to_dict())
            weights.tidy(self.ledger)
            if result.facts["seq"] % folders.EVERY == 0:
                folders.tidy(self.ledger)
        self._ready.append(result)
        self.watcher.ended(result)

    @property
    def protocol(self) -> str:
        """How this engine's scores are measured; those of another protocol are not asked for."""
        return f"judge {judging_code()[:12]}, {self.judged_bytes} bytes"

    @property
    def memory_bytes(self) -> int:
        """What one worker may use: a share by what is wanted now, not by how many there might be."""
        return self.limits.memory_bytes or _share(max(1, min(self.jobs, len(self._asks))))

    @property
    def memory_bytes_for_code(self) -> int:
        """The same whatever else is wanted, or it would tell code why it runs."""
        return self.limits.memory_bytes or _share(self.jobs)

    def _leave_more(self, run: dict[str, Any]) -> bool:
        """Whether a run that failed within its limits may use more today, whatever runs beside it."""
        surely = replace(self.limits, memory_bytes=self.memory_bytes_for_code)
        return surely.leave_more(run["reason"], json.loads(run["limits"] or "null"))

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
        """Whether what was trained is there as it was saved; held from now on, so that nobody tidies it away."""
        if ask.hold is None:
            with contextlib.suppress(OSError):
                ask.hold = Hold(ask.spec.id)
        return weights.are_whole(ask.spec.id)


def _task_id(ask: _Ask) -> str:
    return f"{ask.spec.id}/{ask.split}"


def _share(workers: int) -> int:
    """Of the memory that there is to use, for each of so many workers."""
    return int(0.9 * linux.memory_bytes() / workers)
