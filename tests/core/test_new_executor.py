"""A new executor is a file and a line in the table; what it computes is what this machine computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.core.errors import RequestError
from foundry.execute.executor import EXECUTORS, VARIABLE, executor
from foundry.execute.result import RunResult
from foundry.recipe import Recipe
from tests.home import small_lab

FILE = '''"""Tasks one after the other, in this very process. May not: keep a limit."""

import json

from foundry.execute.executor import Ended, Event, Task
from foundry.execute.worker import outcome
from foundry.train.progress import LocalLine


class InTurn:
    def __init__(self, jobs: int) -> None:
        self.busy, self.free = 0, 1
        self.events: list[Event] = []

    def submit(self, task: Task) -> None:
        payload = json.loads(json.dumps(task.payload))  # as it would arrive on another machine
        assert payload == task.payload
        said = outcome(task.target, payload, LocalLine())
        self.events.append(Ended(task.id, said.get("result"), *said.get("failure", ())))

    def stop(self, task_id: str) -> None: ...

    def poll(self, timeout: float | None = None) -> list[Event]:
        events, self.events = self.events, []
        return events

    def close(self) -> None: ...
'''


def test_a_file_and_a_line_make_an_executor_whose_scores_are_those_of_this_machines(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "in_turn.py").write_text(FILE)
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.setitem(EXECUTORS, "in-turn", "in_turn:InTurn")
    results: list[RunResult] = []
    for name in ("local", "in-turn"):
        monkeypatch.setenv(VARIABLE, name)
        monkeypatch.setenv("FOUNDRY_RUNS", name)
        with small_lab() as lab:
            assert type(lab.engine.executor).__name__ == {"local": "Pool", "in-turn": "InTurn"}[name]
            results += lab.gather([(lab.arm_of(Recipe.load(Path("experiments/baseline.yaml"))), 3)])
    here, there = results
    assert there.ok and not there.stored
    assert (there.id, there.bpb, there.facts["train_loss"]) == (here.id, here.bpb, here.facts["train_loss"])


def test_an_executor_that_isnt_there_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "locl")
    with pytest.raises(RequestError, match=r"executor\.unknown.*choices: local"):
        executor(1)
    monkeypatch.setenv(VARIABLE, "")
    assert executor(3).free == 3 and list(EXECUTORS) == ["local"]
