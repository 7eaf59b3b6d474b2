"""The warm process: imports torch and Foundry once, then forks a worker for each task, in milliseconds.

    python -m foundry.execute.zygote FD MODULE...      FD: a SOCK_SEQPACKET socket to the controller

A fork is only safe from a process with one thread and no CUDA context; both are checked once everything is imported.
It ends when the controller does, and its workers end when it does. It reaps them, so it alone may signal by pid or
group: until it has reaped, the number is nobody else's. May not: run a task itself, touch an accelerator, or print.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn, final

from foundry.execute import worker
from foundry.execute.json_socket import encode, receive_packet, send_packet
from foundry.execute.linux import adopt_orphans, children, thread_count
from foundry.sandbox.reach import code_paths

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
    "PYTHONHASHSEED": "0",  # the order of a set is the same in every worker of every warm process
}
_GONE_SECONDS = 1.0


@final
class Zygote:
    """Serves one controller until it hangs up or dies."""

    def __init__(self, control: socket.socket, controller: int) -> None:
        """controller: its pid."""
        self._control = control
        self._controller = os.pidfd_open(controller)
        self._serials: dict[int, int] = {}  # pid → the controller's number for it
        self._pids: dict[int, int] = {}  # pidfd → pid, of workers and of strays that were killed
        self._poll = select.poll()
        for handle in (control.fileno(), self._controller):
            self._poll.register(handle, select.POLLIN)

    def preload(self, names: list[str]) -> None:
        """Import everything, saying what can't be; then make the process fit to fork."""
        for name in expand(names):
            try:
                importlib.import_module(name)
            except Exception as error:
                self._say({"not_preloaded": name, "error": f"{type(error).__name__}: {error}"[:2000]})
        unfit = _unfit_to_fork()
        if unfit:
            self._say({"unfit": unfit})
            sys.exit(1)
        code_paths()  # found once, for whoever is confined
        gc.collect()
        gc.freeze()  # a collection in a worker would copy every page that it only looks at
        self._say({"ready": os.getpid()})

    def serve(self) -> None:
        """Fork on request and report every end, until the controller is gone."""
        while True:
            for handle, _ in self._poll.poll():
                if handle == self._controller:
                    return
                elif handle == self._control.fileno():
                    order, handles = receive_packet(self._control)
                    if order is None:
                        return
                    self._fork(order, handles[0])
                else:
                    self._bury(handle)

    def end(self) -> None:
        """Kill everything below this process and wait for it, a second at most."""
        deadline = time.monotonic() + _GONE_SECONDS
        while (left := children()) and time.monotonic() < deadline:
            for pid in left:
                for kill in (os.killpg, os.kill):
                    with contextlib.suppress(ProcessLookupError):
                        kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.005)

    def _fork(self, order: dict[str, Any], line: int) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(line)
            return self._say({"ended": order["serial"], "exit_code": None, "error": f"no process: {error.strerror}"})
        if pid == 0:
            del order["serial"]  # how many tasks there were before could tell code why it runs
            self._serials.clear()
            self._become_worker(order, line, parent)
        os.close(line)
        pidfd = self._watch(pid)
        self._serials[pid] = order["serial"]
        return self._say({"forked": order["serial"], "pid": pid}, pidfd)

    def _become_worker(self, order: dict[str, Any], line: int, parent: int) -> NoReturn:
        """In the child: let go of all that is the warm process's, and never come back."""
        try:
            for handle in (self._controller, *self._pids):
                os.close(handle)
            self._control.close()
            worker.run(order, socket.socket(fileno=line), parent)
        finally:
            os._exit(worker.UNSTARTED)

    def _bury(self, pidfd: int) -> None:
        """A process below this one has ended: with a worker, its group goes, and whoever had left the group."""
        pid = self._pids.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        serial = self._serials.pop(pid, None)
        if serial is not None:  # not reaped yet, so the group's number is still ours
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        self._kill_strays()
        if serial is not None:
            exit_code = os.waitstatus_to_exitcode(status)
            self._say({"ended": serial, "exit_code": exit_code, "peak_memory_bytes": usage.ru_maxrss * 1024})

    def _kill_strays(self) -> None:
        """Orphans of ended workers have become our children; they are killed now and reaped when they are dead."""
        known = set(self._serials) | set(self._pids.values())
        for pid in set(children()) - known:
            self._watch(pid)
            os.kill(pid, signal.SIGKILL)

    def _watch(self, pid: int) -> int:
        pidfd = os.pidfd_open(pid)
        self._pids[pidfd] = pid
        self._poll.register(pidfd, select.POLLIN)
        return pidfd

    def _say(self, message: dict[str, Any], *handles: int) -> None:
        with contextlib.suppress(ConnectionError):  # a controller that is gone is noticed by `serve`
            send_packet(self._control, encode(message), *handles)


def expand(names: Sequence[str]) -> list[str]:
    """`package.*` written out; of a package that can't be imported only its name, so that importing it says why."""
    expanded: list[str] = []
    for name in names:
        package = name.removesuffix(".*")
        expanded.append(package)
        if package != name:
            with contextlib.suppress(Exception):
                folders = importlib.import_module(package).__path__
                expanded += [found.name for found in pkgutil.walk_packages(folders, f"{package}.")]
    return expanded


def _unfit_to_fork() -> str:
    """Why this process may not fork, or nothing."""
    if (count := thread_count()) != 1:
        return f"{count} threads after the imports, where a fork needs 1"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "CUDA was initialised by an import, which a fork doesn't survive"
    return ""


def main(arguments: list[str], controller: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the controller's to answer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    adopt_orphans()
    zygote = Zygote(socket.socket(fileno=int(arguments[0])), controller)
    try:
        zygote.preload(arguments[1:])
        zygote.serve()
    finally:
        zygote.end()


if __name__ == "__main__":
    main(sys.argv[1:], os.getppid())
