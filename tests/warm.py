"""One process for all of a test session's pools: what a pool would start from nothing is forked from here, in
milliseconds instead of the seconds that importing torch takes. What is forked is the zygote that ships, with a session,
a working directory and an environment of its own.

    python tests/warm.py FD      FD: a SOCK_SEQPACKET socket to the session
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, NoReturn, final

from foundry.execute import zygote

_ORDER_BYTES = 1 << 17


@final
class Mother:
    """The session's side."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            subprocess.run(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                check=True,
                start_new_session=True,
                env={**os.environ, **zygote.ENVIRONMENT, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            )

    def subprocess(self) -> SimpleNamespace:
        """What stands for the module `subprocess` where a pool starts its warm process."""
        return SimpleNamespace(Popen=self._popen, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired)

    def _popen(self, command: list[str], *, pass_fds: list[int], stderr: Any, env: dict[str, str], **_: Any) -> Forked:
        assert command[2:4] == ["-m", "foundry.execute.zygote"], command
        order = {"preload": command[5:], "env": env, "cwd": os.getcwd(), "controller": os.getpid()}
        socket.send_fds(self._control, [json.dumps(order).encode()], [pass_fds[0], stderr.fileno()])
        answer, [pidfd], *_rest = socket.recv_fds(self._control, _ORDER_BYTES, 1)
        return Forked(json.loads(answer), pidfd)

    def close(self) -> None:
        self._control.close()  # upon which it ends


@final
class Forked:
    """As much of a `Popen` as a pool asks for."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid, self._pidfd = pid, pidfd

    def wait(self, timeout: float | None = None) -> None:
        ended = select.poll()
        ended.register(self._pidfd, select.POLLIN)
        if not ended.poll(None if timeout is None else timeout * 1000):
            raise subprocess.TimeoutExpired(zygote.__name__, timeout or 0.0)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def __del__(self) -> None:
        os.close(self._pidfd)


def _serve(control: socket.socket) -> None:
    for name in zygote.expand(zygote.PRELOAD):
        importlib.import_module(name)
    gc.freeze()
    while True:
        text, handles, _, _ = socket.recv_fds(control, _ORDER_BYTES, 2)
        if not text:
            return
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        pid = os.fork()
        if pid == 0:
            control.close()
            _become_zygote(json.loads(text), *handles)
        pidfd = os.pidfd_open(pid)
        socket.send_fds(control, [json.dumps(pid).encode()], [pidfd])
        for handle in (*handles, pidfd):
            os.close(handle)


def _become_zygote(order: dict[str, Any], control: int, errors: int) -> NoReturn:
    try:
        os.setsid()
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["env"])
        nothing = os.open(os.devnull, os.O_RDWR)
        for source, target in ((nothing, 0), (nothing, 1), (errors, 2)):
            os.dup2(source, target)
        for handle in (nothing, errors):
            os.close(handle)
        zygote.main([str(control), *order["preload"]], order["controller"])
    finally:
        os._exit(0)


if __name__ == "__main__":
    if os.fork() == 0:  # no child of the session's, whose tests look at their children
        _serve(socket.socket(fileno=int(sys.argv[1])))
