"""Time in which nobody could look counts for no limit; time in which somebody looked does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.core import attended
from foundry.core.attended import Attended, readable
from foundry.execute import local as pools
from foundry.execute.local import Pool, Task
from foundry.execute.untrusted.child_handle import START_SECONDS, ChildHandle
from tests.execute.pool_harness import drain, endings, wait_for

MakeTask = Callable[..., Task]
pytestmark = pytest.mark.usefixtures("light")


class Clock:
    """The machine's clock, moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(attended, "time", made)
    return made


def test_a_pause_between_two_looks_is_left_out_and_looking_is_counted(clock: Clock) -> None:
    watch = Attended()
    begin = watch.now()
    for _ in range(50):
        clock.at += 0.5
        watch.now()
    assert watch.now() - begin == 25.0
    clock.at += 3600.0
    assert watch.now() - begin == 26.0
    assert watch.at(clock.at) == watch.now()


def test_a_wait_of_which_an_hour_was_slept_through_isnt_over(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def select(
        read: list[int], write: list[int], odd: list[int], seconds: float
    ) -> tuple[list[int], list[int], list[int]]:
        asked.append(seconds)
        clock.at += 3600.0 if len(asked) == 1 else seconds
        return [], [], []

    monkeypatch.setattr(attended, "select", type("", (), {"select": staticmethod(select)}))
    assert readable(0, 4.0) is False
    assert len(asked) == 5 and sum(asked[1:]) == 3.0, "one second of the hour, then the other three, then a last look"


def test_a_sandbox_is_heard_out_for_its_seconds_and_not_for_those_slept_through(clock: Clock) -> None:
    heard: list[float] = []

    class Mute:
        open = True

        def hear(self, seconds: float) -> None:
            clock.at += seconds if heard else 3600.0
            heard.append(seconds)

        def end(self) -> None:
            self.open = False

    mute: Any = Mute()
    assert ChildHandle.hear_out(mute, 4.0) and not mute.open
    assert len(heard) == 4, "the hour is a second"


@pytest.mark.parametrize(("starts_after", "waited"), [(40, 40), (10**6, START_SECONDS)])
def test_what_a_sandbox_takes_to_start_is_nobodys_lateness_as_long_as_it_starts(
    clock: Clock, starts_after: int, waited: float
) -> None:
    told: list[float] = []

    class Starting:
        open = True

        def __init__(self) -> None:
            self.messages: list[str] = []

        def hear(self, seconds: float) -> None:
            clock.at += seconds
            self.messages = ["begun"] if clock.at >= 100.0 + starts_after else []

    starting: Any = Starting()
    ChildHandle.await_start(starting, lambda: told.append(clock.at))
    assert len(told) == waited


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a tenth of a second count as pauses."""
    for name in ("LOOK_SECONDS", "SLACK_SECONDS"):
        monkeypatch.setattr(attended, name, 0.05)
    monkeypatch.setattr(pools, "LOOK_SECONDS", 0.05)


@pytest.mark.parametrize("limit", ["stall_seconds", "wall_seconds"])
def test_a_worker_isnt_late_for_the_time_in_which_everything_was_stopped(
    quick: None, make_task: MakeTask, tmp_path: Path, limit: str
) -> None:
    file = tmp_path / "pid"
    with Pool(1, preload=()) as pool:
        pool.submit(make_task("slow", "a", {"seconds": 0.2, "pid_file": str(file)}, **{limit: 1.5}))
        drain(pool, lambda events: file.exists() and bool(file.read_text()))
        os.kill(int(file.read_text()), signal.SIGSTOP)
        time.sleep(2.0)  # nobody polls: this process counts as stopped, too
        os.kill(int(file.read_text()), signal.SIGCONT)
        assert endings(drain(pool))["a"].result == {"stopped": False}


def test_a_worker_that_stands_still_while_somebody_looks_is_late(
    quick: None, make_task: MakeTask, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    with Pool(1, preload=()) as pool:
        pool.submit(make_task("slow", "a", {"pid_file": str(file)}, stall_seconds=0.5))
        drain(pool, lambda events: file.exists() and bool(file.read_text()))
        os.kill(int(file.read_text()), signal.SIGSTOP)
        assert endings(drain(pool))["a"].reason == "timeout"
    wait_for(lambda: not Path(f"/proc/{file.read_text()}").exists())
