"""multiprocessing's forkserver with torch and Foundry imported once: a worker is forked from it in milliseconds.

One for each process that controls workers, whatever its pools: started when the first is needed, again when it dies. It
ends when the controller does, and all below it with it. May not: know of tasks.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from types import ModuleType
from typing import Any

from foundry.core import places
from foundry.core.attended import LOOK_SECONDS, Attended
from foundry.core.errors import WorkError
from foundry.execute.linux import children

PRELOAD = (
    "torch",
    "torch._dynamo",  # what an optimizer's first step imports otherwise, for a second
    "safetensors.torch",
    "foundry.recipe",
    "foundry.modules.*",
    "foundry.data.tokenizer.*",
    "foundry.train.worker",
    "foundry.judge.worker",
    "foundry.execute.untrusted.harness",
    "foundry.execute.untrusted.count_flops",
)
"""`package.*` is the package with all that is below it."""

ENVIRONMENT = {  # numeric libraries start no threads at import; workers set their own number afterwards
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",  # the order of a set is the same in every worker of every server
    "PYTHONSAFEPATH": "1",  # a file of the working directory never stands in for a library's module
}
MAX_FAILED_STARTS, MAX_STARTS = 3, 20
"""Of a server that ends by itself or hangs, and of one that is killed: in a row, before it has forked."""
START_SECONDS, FORK_SECONDS = 120.0, 30.0
"""A server that hasn't forked its first worker, or another one, by then is ended: it hears nobody."""
GONE_SECONDS = 1.0
UNREPORTED = 255
"""The exit code that multiprocessing gives where the server can't say it."""
_context = multiprocessing.get_context("forkserver")
_lock = threading.RLock()
_forked = 0
"""The pid of the latest server that has forked."""
_output = tempfile.TemporaryFile()  # noqa: SIM115 (the server's standard output and error)


def environment() -> dict[str, str]:
    """What a worker's is to be: this process's, fit for a fork."""
    return {**places.environment(), **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def begin(preload: Sequence[str] = PRELOAD) -> None:
    """Where no server runs, start one in the background that imports these modules. Raises WorkError without Linux."""
    if not sys.platform.startswith("linux"):
        raise WorkError("pool.platform", sys.platform, "workers need Linux", hint="run it on Linux, or in a VM")
    with _for_the_server(preload):
        forkserver.ensure_running()


def fork(preload: Sequence[str], target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """A new process that calls `target`. Waits for the server to have imported what it preloads.

    Raises WorkError where no server gets so far."""
    global _forked
    failed = 0
    for _ in range(MAX_STARTS):
        process = _context.Process(target=target, args=arguments, name="worker", daemon=True)
        hung = threading.Event()
        with contextlib.suppress(EOFError, ConnectionError), _for_the_server(preload), _ended_where_it_hangs(hung):
            process.start()
            _forked = pid()
            return process
        failed += hung.is_set() or not _was_killed()
        if failed == MAX_FAILED_STARTS:
            break
    raise WorkError("pool.warm_process", "", said()[-1] if said() else "it ended before it was ready")


@contextlib.contextmanager
def _ended_where_it_hangs(hung: threading.Event) -> Iterator[None]:
    """While a server is waited for. Seconds in which this process was stopped itself don't count."""
    done, clock = threading.Event(), Attended()

    def watch() -> None:
        begun = clock.now()
        while not done.wait(LOOK_SECONDS):
            if clock.now() - begun >= (FORK_SECONDS if pid() == _forked else START_SECONDS) and pid():
                hung.set()
                os.kill(pid(), signal.SIGKILL)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def forget(process: ForkServerProcess) -> None:
    """Let go of one that has ended or is given up: nobody waits for it when this program ends."""
    with contextlib.suppress(ValueError):
        process.close()
    multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]


def pid() -> int:
    """The latest server's; 0 before the first."""
    return forkserver._forkserver._forkserver_pid or 0  # type: ignore[attr-defined]


def is_dead(within_seconds: float = 0.1) -> bool:
    """Whether the server ends within that time."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid())
        try:
            return bool(select.select([handle], [], [], within_seconds)[0])
        finally:
            os.close(handle)
    return True


def _was_killed() -> bool:
    """Whether somebody else ended the server that doesn't answer. Until it is dead no other takes its place."""
    if not is_dead(GONE_SECONDS):
        return False
    try:
        found = os.waitid(os.P_PID, pid(), os.WEXITED | os.WNOHANG | os.WNOWAIT)  # multiprocessing will reap it
    except ChildProcessError:
        return False
    return found is not None and found.si_code != os.CLD_EXITED


def kill_strays() -> None:
    """Kill what ended workers have left behind: orphans have become the server's children. It reaps them."""
    deadline = time.monotonic() + GONE_SECONDS
    with _lock:
        while strays := set(children(pid())) - {process.pid for process in multiprocessing.active_children()}:
            if time.monotonic() >= deadline:
                return
            for stray in strays:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stray, signal.SIGKILL)
            time.sleep(0.001)


def said() -> list[str]:
    """The lines that the latest server has written."""
    _output.seek(0)
    return _output.read().decode(errors="replace").strip().splitlines()


@contextlib.contextmanager
def _for_the_server(preload: Sequence[str]) -> Iterator[None]:
    """While a server may be started. multiprocessing would import this program's main module in every worker, and hand
    on its environment and path as they are."""
    main, variables, path = sys.modules["__main__"], dict(os.environ), sys.path.copy()
    file = f"/proc/{os.getpid()}/fd/{_output.fileno()}"
    with _lock:
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:  # a standard file was closed: its number is no pipe's
            continue
        os.close(handle)
        sys.modules["__main__"] = ModuleType("__main__")
        os.environ.update(environment(), FOUNDRY_PRELOAD=" ".join(preload), FOUNDRY_OUTPUT=file)
        sys.path[:] = [each for each in path if each]
        try:
            forkserver.set_forkserver_preload(["foundry.execute.preload"])
            yield
        finally:
            sys.modules["__main__"], sys.path[:] = main, path
            for name in os.environ.keys() - variables.keys():
                del os.environ[name]
            os.environ.update(variables)
