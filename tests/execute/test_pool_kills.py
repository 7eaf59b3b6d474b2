"""kill -9 of controller, warm process and worker: nothing is left behind, and who is left goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from foundry.execute import forkserver
from foundry.execute.local import Pool, Progress, Started, Task
from tests.execute.pool_harness import HERE, drain, endings, gone, wait_for

MakeTask = Callable[..., Task]
pytestmark = pytest.mark.usefixtures("light")

CONTROLLER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from foundry.execute import forkserver
from foundry.execute.local import Pool, Task
folder = Path(sys.argv[2])
with Pool(2, preload=()) as pool:
    payload = {"pid_file": str(folder / "daemon"), "stay": str(folder / "family")}
    pool.submit(Task("family", "pool_targets:leave_children", payload, folder / "log"))
    pool.submit(Task("deaf", "pool_targets:ignore_everything", {}, folder / "log"))
    pool.poll(0)
    (folder / "warm").write_text(str(forkserver.pid()))
    while True:
        pool.poll(1.0)
"""


def test_kill_9_of_the_controller_leaves_no_process(tmp_path: Path) -> None:
    controller = subprocess.Popen([sys.executable, "-c", CONTROLLER, str(HERE), str(tmp_path)])
    family = wait_for(lambda: _read(tmp_path / "family").split())
    pids = [int(pid) for pid in [*family, _read(tmp_path / "warm")]]
    assert len(pids) == 4 and not any(gone(pid, within_seconds=0.05) for pid in pids)
    controller.kill()
    controller.wait()
    assert all(gone(pid) for pid in pids)


def test_without_the_pool_a_child_outlives_its_killed_parent() -> None:
    """The negative control: this is what the test above would see if nobody took care."""
    script = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    try:
        assert not gone(child, within_seconds=0.3)
    finally:
        os.kill(child, signal.SIGKILL)


def test_kill_9_of_a_worker_loses_its_task_and_no_other(pool: Pool, make_task: MakeTask) -> None:
    pool.submit(make_task("slow", "victim"))
    pool.submit(make_task("slow", "neighbour", {"seconds": 0.5}))
    events = drain(pool, lambda events: sum(isinstance(event, Started) for event in events) == 2)
    victim = next(event.pid for event in events if isinstance(event, Started) and event.id == "victim")
    os.kill(victim, signal.SIGKILL)
    ended = endings(events + drain(pool))
    assert (ended["victim"].reason, ended["victim"].signal) == ("lost", 9)
    assert ended["neighbour"].result == {"stopped": False}


def test_kill_9_of_the_warm_process_loses_its_tasks_and_the_next_is_served(
    pool: Pool, make_task: MakeTask, tmp_path: Path
) -> None:
    pool.submit(make_task("slow"))
    pool.submit(
        make_task("leave_children", payload={"pid_file": str(tmp_path / "d"), "stay": str(tmp_path / "family")})
    )
    drain(pool, lambda events: bool(_read(tmp_path / "family")))
    worker, child, _ = (int(pid) for pid in _read(tmp_path / "family").split())
    os.kill(forkserver.pid(), signal.SIGKILL)
    ended = endings(drain(pool))
    assert {ended["slow"].reason, ended["leave_children"].reason} == {"lost"}
    assert gone(worker) and gone(child)
    os.kill(int(_read(tmp_path / "d")), signal.SIGKILL)  # left its group: nobody is there any more who adopted it
    pool.submit(make_task("double", payload={"x": 1}))
    assert endings(drain(pool))["double"].result is not None


def test_kill_9_of_the_warm_process_while_it_starts_costs_nothing(make_task: MakeTask) -> None:
    with Pool(1, preload=("json",)) as pool:
        pool.submit(make_task("double", payload={"x": 1}))
        os.kill(forkserver.pid(), signal.SIGKILL)
        assert endings(drain(pool))["double"].result is not None


def test_a_result_that_was_sent_is_kept_though_the_warm_process_dies(pool: Pool, make_task: MakeTask) -> None:
    pool.submit(make_task("slow"))
    events = drain(pool, lambda events: any(isinstance(event, Started) for event in events))
    os.kill(forkserver.pid(), signal.SIGSTOP)  # so that the end can't be reported
    pool.stop("slow")
    assert gone(next(event.pid for event in events if isinstance(event, Started)))
    os.kill(forkserver.pid(), signal.SIGKILL)
    assert endings(drain(pool))["slow"].result == {"stopped": True}


def test_a_killed_worker_whose_end_nobody_reports_is_given_up(pool: Pool, make_task: MakeTask) -> None:
    pool.submit(make_task("ignore_everything"))
    events = drain(pool, lambda events: any(isinstance(event, Progress) for event in events))
    os.kill(forkserver.pid(), signal.SIGSTOP)
    pool.stop("ignore_everything")
    assert endings(drain(pool))["ignore_everything"].detail == "stopped on request, by force"
    assert gone(next(event.pid for event in events if isinstance(event, Started)))
    os.kill(forkserver.pid(), signal.SIGCONT)


def test_a_server_that_stands_still_is_replaced(
    pool: Pool, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.submit(make_task("double", "a", {"x": 1}))
    assert endings(drain(pool))["a"].result is not None
    monkeypatch.setattr(forkserver, "FORK_SECONDS", 0.1)
    os.kill(before := forkserver.pid(), signal.SIGSTOP)
    pool.submit(make_task("double", "b", {"x": 1}))
    assert endings(drain(pool))["b"].result is not None
    assert forkserver.pid() != before and gone(before)


STUCK = """
import os, signal, sys
from pathlib import Path
from foundry.execute import forkserver
from foundry.execute.local import Pool, Task
with Pool(1, preload=()) as pool:
    pool.submit(Task("a", "tests.execute.pool_targets:slow", {}, Path(sys.argv[1])))
    while pool.busy and not any(hasattr(event, "pid") for event in pool.poll(0.1)):
        continue
    os.kill(forkserver.pid(), signal.SIGSTOP)
print("left", flush=True)
"""


def test_a_program_ends_though_its_server_stands_still(tmp_path: Path) -> None:
    """multiprocessing by itself would wait, when the program ends, for whom the server doesn't report."""
    ended = subprocess.run(
        [sys.executable, "-c", STUCK, str(tmp_path / "log")], capture_output=True, text=True, timeout=60
    )
    assert (ended.stdout, ended.returncode) == ("left\n", 0), ended.stderr


def test_leaving_the_pool_kills_what_runs(make_task: MakeTask) -> None:
    with Pool(1, preload=()) as pool:
        pool.submit(make_task("ignore_everything"))
        events = drain(pool, lambda events: any(isinstance(event, Started) for event in events))
    assert gone(next(event.pid for event in events if isinstance(event, Started)))


def test_the_forkserver_ends_with_its_controller() -> None:
    script = "from foundry.execute import forkserver; forkserver.begin(()); forkserver.fork((), print).join(); "
    ended = subprocess.run([sys.executable, "-c", script + "print(forkserver.pid())"], capture_output=True, check=True)
    assert gone(int(ended.stdout))


MAIN = """
from foundry.execute import forkserver
print("main")
print(forkserver.begin(()), flush=True)
forkserver.fork((), print, "worker").join()
print(forkserver.said())
"""


def test_a_program_without_a_guard_around_its_main_part_is_run_once(tmp_path: Path) -> None:
    """multiprocessing by itself would run it again in each worker."""
    (tmp_path / "program.py").write_text(MAIN)
    for program in (["program.py"], ["-m", "program"]):
        ended = subprocess.run([sys.executable, *program], capture_output=True, check=True, cwd=tmp_path, text=True)
        assert ended.stdout.splitlines() == ["main", "None", "['worker']"], ended.stderr


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
