"""What a campaign survives: kills, a full disk, torn files, a clock that steps. Fake training (soak/), all else real;
`make soak` does the same hundreds of times.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.ledger.ledger import Ledger
from soak.killer import Seen, check_at_rest, kill_often, spawn
from soak.lab import TRACK, make_home, run_fake
from soak.test_kills import forgetful

RUNS = 60


@pytest.fixture(scope="session")
def fake_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fake")


@pytest.fixture
def place(tmp_path: Path, fake_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("FOUNDRY_RUNS", "FOUNDRY_EXPERIMENTS", "FOUNDRY_WORKSPACE", "FOUNDRY_CACHE"):
        monkeypatch.setenv(name, "")  # so that what make_home sets is undone
    monkeypatch.chdir(tmp_path)
    make_home(fake_cache / "home", fake_cache / "cache")  # the text's path is part of the data's identity
    make_home(tmp_path / "home", fake_cache / "cache")
    yield tmp_path / "home"


def test_kills_lose_nothing_repeat_nothing_and_leave_nothing_stuck(place: Path) -> None:
    seen = kill_often(lambda: run_fake(RUNS), kills=6, seed=11)
    assert seen.kills == 6 and len(seen.runs) >= RUNS / 2


def test_the_same_kills_find_out_a_controller_that_forgets(place: Path) -> None:
    run_fake(20)
    with pytest.raises(AssertionError, match=r"lost|trained again"):
        kill_often(forgetful, kills=2, seed=12)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_full_disk_is_one_line_and_the_same_command_goes_on_when_there_is_room(place: Path) -> None:
    def cramped() -> Any:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, resource.RLIM_INFINITY))
        run_fake(RUNS)

    assert ended(spawn(cramped)) == 1
    said = Path("controller.log").read_text()
    assert "Traceback" not in said and said.startswith("[ledger.") and said.count("\n") == 1, said
    seen = Seen()
    seen.look()
    assert seen.runs, "it had begun"
    assert ended(spawn(lambda: run_fake(RUNS))) == 0
    seen.look()
    check_at_rest()


def test_torn_files_after_a_kill_cost_nothing_that_was_on_record(place: Path) -> None:
    pid, seen = spawn(lambda: run_fake(RUNS)), Seen()
    while len(seen.runs) < 15 and os.waitpid(pid, os.WNOHANG)[0] == 0:
        time.sleep(0.05)
        seen.look()
    assert len(seen.runs) >= 15, Path("controller.log").read_text()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    seen.look()
    with open("runs/ledger.db-wal", "ab") as log:
        log.write(os.urandom(5000))  # a page that was being written
    torn = [*Path("runs").glob("*/status.json"), *Path("runs").glob("*/recipe.yaml"), *Path("runs").glob("reports/*")]
    for path in torn:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert torn
    assert ended(spawn(lambda: run_fake(RUNS))) == 0, Path("controller.log").read_text()
    seen.look()
    check_at_rest()


def test_a_clock_that_steps_changes_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, steps = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: real() + (-1) ** next(steps) * 10.0**8)
    document = run_fake(RUNS)
    check_at_rest()
    assert 0 < document["this_command"]["hours"] < 1
    with Ledger.open() as ledger:
        kinds = [event["kind"] for event in ledger.campaigns.events(TRACK)]
    assert (kinds[0], kinds[-1]) == ("recoded", "closed")
