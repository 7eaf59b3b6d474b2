"""What the pool promises of tasks that end as they should, and of every way in which they don't."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from foundry.core.errors import RequestError, WorkError
from foundry.execute import forkserver
from foundry.execute.local import Pool, Progress, Started, Task
from tests.execute.pool_harness import drain, endings, gone, wait_for
from tests.home import stop_forkserver

MakeTask = Callable[..., Task]
pytestmark = pytest.mark.usefixtures("light")


def test_a_result_comes_back_from_another_process(pool: Pool, make_task: MakeTask) -> None:
    pool.submit(make_task("double", payload={"x": 21}))
    events = drain(pool)
    ended = endings(events)["double"]
    assert ended.result is not None and ended.result["y"] == 42 and ended.reason is None
    assert ended.result["pid"] != os.getpid()
    started = next(event for event in events if isinstance(event, Started))
    assert started.pid == ended.result["pid"] and started.start_seconds > 0


def test_progress_arrives_in_order_before_the_end(pool: Pool, make_task: MakeTask) -> None:
    pool.submit(make_task("told", payload={"steps": 5}))
    events = drain(pool)
    assert [event.facts["step"] for event in events if isinstance(event, Progress)] == [0, 1, 2, 3, 4]
    assert endings(events[-1:]).keys() == {"told"}


def test_a_controller_that_doesnt_listen_loses_reports_and_not_the_result(pool: Pool, make_task: MakeTask) -> None:
    pool.submit(make_task("told", payload={"steps": 50_000}))
    events = drain(pool, lambda events: any(isinstance(event, Started) for event in events))
    pid = next(event.pid for event in events if isinstance(event, Started))
    gone(pid, within_seconds=0.3)  # nobody reads while it goes on
    events += drain(pool)
    assert endings(events)["told"].result == {"steps": 50_000}
    assert sum(isinstance(event, Progress) for event in events) < 50_000


def test_at_most_jobs_run_at_once_and_the_rest_wait_in_order(make_task: MakeTask) -> None:
    with Pool(2, preload=()) as pool:
        for i in range(5):
            pool.submit(make_task("slow", str(i), {"seconds": 0.05}))
        assert pool.busy == 5
        alive: set[str] = set()
        order = []
        for event in drain(pool):
            if isinstance(event, Started):
                alive.add(event.id)
                order.append(event.id)
            elif event.id in endings([event]):
                alive.remove(event.id)
            assert len(alive) <= 2
    assert sorted(order[:2]) == ["0", "1"] and len(order) == 5


FAILURES = {
    "fail_nan": ("nan", "loss at step 3", {}),
    "refuse": ("invalid", "slot.import_failed", {}),
    "raise_value_error": ("crash", "ValueError: wrong shape (pool_targets.py:", {}),
    "leave_quietly": ("crash", "exit code 0 without a result", {}),
    "leave_badly": ("crash", "exit code 3 without a result\nlast words", {}),
    "segfault": ("crash", "SIGSEGV", {}),
    "kill_itself": ("lost", "killed from outside", {}),
    "fall_silent": ("timeout", "no sign of life for 0.2 s", {"stall_seconds": 0.2}),
    "ignore_everything": ("timeout", "still running after 0.3 s", {"wall_seconds": 0.3}),
    "one_huge_array": ("oom", "MemoryError", {"memory_bytes": 1 << 30}),
    "grow": ("oom", "the limit is 128 MiB", {"memory_bytes": 128 << 20}),
    "say_nan": ("crash", "not JSON", {}),
    "return_nothing": ("crash", "neither a mapping nor a failure", {}),
    "babble": ("crash", "unreadable message", {}),
    "no_such_function": ("crash", "AttributeError", {}),
}


def test_every_failure_has_its_reason_and_stays_with_its_own_task(make_task: MakeTask) -> None:
    with Pool(len(FAILURES) + 2, preload=(), grace_seconds=0.3) as pool:
        for neighbour in ("good-1", "good-2"):
            pool.submit(make_task("slow", neighbour, {"seconds": 1.0}, wall_seconds=60, memory_bytes=1 << 30))
        for target, (_, _, limits) in FAILURES.items():
            pool.submit(make_task(target, **limits))
        ended = endings(drain(pool))
    for target, (reason, detail, _) in FAILURES.items():
        assert (ended[target].result, ended[target].reason) == (None, reason), ended[target]
        assert detail in ended[target].detail, ended[target]
    assert ended["segfault"].signal == 11 and ended["grow"].signal == 9
    for neighbour in ("good-1", "good-2"):
        assert ended[neighbour].result == {"stopped": False}


def test_what_is_mapped_and_not_used_is_only_limited_where_asked(pool: Pool, make_task: MakeTask) -> None:
    pool.submit(make_task("map_and_not_use", "limited", memory_bytes=1 << 30))
    pool.submit(make_task("map_and_not_use", "free", memory_bytes=1 << 30, limit_data=False))
    ended = endings(drain(pool))
    assert ended["limited"].reason == "oom" and ended["free"].result == {"n": 8 << 30}


def test_what_a_worker_prints_is_in_its_log_after_what_was_there(pool: Pool, make_task: MakeTask) -> None:
    task = make_task("leave_badly")
    task.log.write_text("first attempt\n")
    pool.submit(task)
    ended = endings(drain(pool))["leave_badly"]
    assert task.log.read_text() == "first attempt\nlast words\n"
    assert "first attempt" not in ended.detail


def test_a_log_that_is_a_link_is_not_followed(pool: Pool, make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task("leave_badly")
    (tmp_path / "precious").write_text("kept")
    task.log.symlink_to(tmp_path / "precious")
    pool.submit(task)
    assert endings(drain(pool))["leave_badly"].reason == "lost"
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_task_that_is_stopped_saves_and_returns(pool: Pool, make_task: MakeTask) -> None:
    pool.submit(make_task("slow"))
    drain(pool, lambda events: any(isinstance(event, Progress) for event in events))
    pool.stop("slow")
    assert endings(drain(pool))["slow"].result == {"stopped": True}


def test_a_task_that_wont_stop_is_killed_after_the_grace_and_counts_as_lost(pool: Pool, make_task: MakeTask) -> None:
    pool.submit(make_task("ignore_everything"))
    drain(pool, lambda events: any(isinstance(event, Progress) for event in events))
    pool.stop("ignore_everything")
    ended = endings(drain(pool))["ignore_everything"]
    assert (ended.reason, ended.detail, ended.signal) == ("lost", "stopped on request, by force", 9)


def test_a_waiting_task_that_is_stopped_never_starts(make_task: MakeTask) -> None:
    with Pool(1, preload=()) as pool:
        pool.submit(make_task("slow", "first", {"seconds": 0.2}))
        pool.submit(make_task("slow", "second"))
        pool.stop("second")
        events = drain(pool)
    assert endings(events)["second"].detail == "stopped before it started"
    assert not any(isinstance(event, Started) and event.id == "second" for event in events)


def test_an_id_may_be_submitted_again_once_it_has_ended_and_not_before(pool: Pool, make_task: MakeTask) -> None:
    pool.submit(make_task("double", payload={"x": 1}))
    with pytest.raises(RequestError, match="already in the pool"):
        pool.submit(make_task("double", payload={"x": 2}))
    drain(pool)
    pool.submit(make_task("double", payload={"x": 3}))
    result = endings(drain(pool))["double"].result
    assert result is not None and result["y"] == 6


@pytest.mark.parametrize("payload", [{"x": float("nan")}, {"x": object()}, {"x": "a" * 200_000}])
def test_a_payload_that_isnt_small_json_is_refused(pool: Pool, make_task: MakeTask, payload: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=r"pool\.payload"):
        pool.submit(make_task("double", payload=payload))
    assert pool.busy == 0


def test_a_worker_inherits_no_open_files_no_input_and_no_terminal(pool: Pool, make_task: MakeTask) -> None:
    a, b = socket.socketpair()
    for i in range(4):  # with neighbours alive, whose lines it must not hold
        pool.submit(make_task("slow", f"neighbour-{i}", {"seconds": 1.0}))
    pool.submit(make_task("surroundings"))
    result = endings(drain(pool))["surroundings"].result
    assert result == {"files": 5, "stdin": "", "session": True}  # 0, 1, 2, the line, and the listing itself
    a.close()
    b.close()


def test_a_worker_cant_tell_how_many_there_were_before(pool: Pool, make_task: MakeTask) -> None:
    for i in range(2):
        pool.submit(make_task("number", str(i)))
    one, other = (end.result for end in endings(drain(pool)).values())
    assert one == other == {"name": "worker", "identity": []}


def test_an_interrupt_is_the_controllers_to_answer(pool: Pool, make_task: MakeTask) -> None:
    pool.submit(make_task("interrupt_self"))
    assert endings(drain(pool))["interrupt_self"].result == {"survived": True}


def test_nothing_that_a_worker_started_outlives_it(pool: Pool, make_task: MakeTask, tmp_path: Path) -> None:
    pool.submit(make_task("leave_children", payload={"pid_file": str(tmp_path / "daemon")}))
    result = endings(drain(pool))["leave_children"].result
    assert result is not None
    assert gone(result["child"]) and gone(result["daemon"])


def test_a_module_that_cant_be_preloaded_is_reported_and_the_rest_goes_on(make_task: MakeTask) -> None:
    stop_forkserver()
    with Pool(1, preload=("no.such.module", "no.such.package.*", "json")) as pool:
        pool.submit(make_task("preloaded", payload={"module": "json.tool"}))
        ended = endings(drain(pool))
    said = [line.split(": ")[1] for line in forkserver.said() if line.startswith("not preloaded")]
    assert said == ["no.such.module", "no.such.package"]
    assert ended["preloaded"].result == {"there": False}


def test_a_warm_process_with_threads_is_refused(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    stop_forkserver()
    with Pool(1, preload=("threaded",)) as pool, pytest.raises(WorkError, match="2 threads"):
        pool.submit(make_task("double", payload={"x": 1}))
        drain(pool)


def test_the_warm_process_imports_all_of_foundry_in_one_thread_and_its_workers_have_as_many_as_they_like(
    make_task: MakeTask,
) -> None:
    stop_forkserver()
    with Pool(2) as pool:  # raises if an import started a thread or touched CUDA
        pool.submit(make_task("threads", "one", {"threads": 1}))
        pool.submit(make_task("threads", "two", {"threads": 2}))
        events = drain(pool)
    assert forkserver.said() == [], "there is nothing that it couldn't import"
    one, two = (endings(events)[name].result for name in ("one", "two"))
    assert one is not None and one["set"] == 1
    assert two is not None and two["set"] == 2 and two["running"] > one["running"]


@pytest.mark.parametrize(("preload", "there"), [(("wsgiref.*",), True), (("wsgiref",), False)])
def test_a_package_is_preloaded_with_all_that_is_below_it(
    make_task: MakeTask, preload: tuple[str, ...], there: bool
) -> None:
    stop_forkserver()
    with Pool(1, preload=preload) as pool:
        pool.submit(make_task("preloaded", payload={"module": "wsgiref.validate"}))
        assert endings(drain(pool))["preloaded"].result == {"there": there}


def test_a_hundred_tasks_leave_neither_files_nor_processes_behind(make_task: MakeTask) -> None:
    with Pool(2, preload=()) as pool:

        def left() -> tuple[int, int, int]:
            warm = Path(f"/proc/{forkserver.pid()}")  # awake, it may have said that a worker ended, its pipe still open
            wait_for(lambda: (warm / "stat").read_text().rpartition(")")[2].split()[0] == "S")
            children = (warm / "task" / warm.name / "children").read_text().split()
            return len(os.listdir("/proc/self/fd")), len(os.listdir(warm / "fd")), len(children)

        pool.submit(make_task("double", payload={"x": 1}))
        drain(pool)
        before = left()
        for _ in range(3):
            for i in range(50):
                pool.submit(make_task("double" if i % 2 else "leave_quietly", str(i), {"x": i}))
            drain(pool)
            assert left() == before
    assert before[2] == 0


def test_a_warm_process_that_never_starts_is_an_error_each_time_and_not_a_hang(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text("import os\nos.write(2, b'no such luck\\n')\nos._exit(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    stop_forkserver()
    with Pool(1, preload=("deadly",)) as pool:
        pool.submit(make_task("double", payload={"x": 1}))
        for _ in range(2):
            with pytest.raises(WorkError, match="no such luck"):
                drain(pool)


def test_a_log_that_has_no_place_is_an_error_with_the_mend(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pool.submit(Task("a", "pool_targets:double", {"x": 1}, tmp_path / "file" / "log"))
    with pytest.raises(WorkError, match=r"pool\.log.*permissions"):
        drain(pool)
