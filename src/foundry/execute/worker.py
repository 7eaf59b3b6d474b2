"""The life of one worker, from the fork to its exit: limits, log, target, and one last message. May not: return.

Whatever the target does, the last message is its result or a typed failure; without one, the pool calls it a crash.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import importlib
import os
import resource
import signal
import socket
import sys
import time
import traceback
from multiprocessing import forkserver, process, resource_tracker
from typing import Any, NoReturn

from foundry.core.errors import KILLED, LOST, Killed, MachineTrouble, RequestError, RunFailure
from foundry.core.frames import forget
from foundry.execute.json_socket import Wire
from foundry.execute.linux import data_bytes, die_with_parent
from foundry.execute.progress_channel import Line

SERVER = 0
"""The pid of the forkserver; it sets it before it forks."""
LINE = 3
"""The descriptor of a worker's line to its controller."""
_DETAIL_CHARACTERS = 2000


def run(order: dict[str, Any], end: socket.socket) -> NoReturn:
    """Be the worker for `order` {target, payload, environment, folder, log, data_bytes}, telling the controller at
    `end`."""
    os.setsid()  # a group and session of its own: all that it starts is killed with it, and no terminal reaches it
    die_with_parent(SERVER)
    wire = Wire(_forget_the_server(end))
    os.environ.clear()
    os.environ.update(order["environment"])
    line = Line(wire)
    signal.signal(signal.SIGTERM, lambda number, frame: line.stop())
    try:
        os.chdir(order["folder"])  # where the controller stands, whatever its working directory is
        _redirect(order["log"])
        if order["data_bytes"]:
            _limit_data(order["data_bytes"])
        _volunteer()
    except OSError as error:
        _finish(wire, {"failure": [LOST, f"{order['log']}: {error.strerror}"]})
    faulthandler.enable()  # a segfault leaves its stack in the log
    wire.send({"started": time.monotonic()})
    _finish(wire, outcome(order["target"], order["payload"], line))


def outcome(target: str, *arguments: Any) -> dict[str, Any]:
    """Call the target "module:function". Its result or, whatever it raises, a failure with a reason,
    or `lost` for what is the machine's."""
    try:
        module, _, function = target.partition(":")
        return {"result": getattr(importlib.import_module(module), function)(*arguments)}
    except RunFailure as failure:
        return {"failure": [KILLED if isinstance(failure, Killed) else failure.reason, failure.detail]}
    except MachineTrouble as trouble:
        return {"failure": [LOST, str(trouble)]}
    except RequestError as error:
        return {"failure": ["invalid", str(error)]}
    except BaseException as error:
        traceback.print_exc()
        return {"failure": [_reason(error), _describe(error)]}


def _reason(error: BaseException) -> str:
    """A worker opens no file but the machine's: what the system refuses it is no run's fault."""
    if _is_out_of_memory(error):
        return "oom"
    return LOST if isinstance(error, OSError) else "crash"


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    names = {kind.__name__ for kind in type(error).__mro__}  # torch's is looked for without importing torch
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)


def _describe(error: BaseException) -> str:
    """What was raised, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {str(error)[:_DETAIL_CHARACTERS]}{where}"


def _finish(wire: Wire, message: dict[str, Any]) -> NoReturn:
    """Send the last message and end, without the goodbyes of threads, atexit hooks or a half-broken runtime."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # a full disk loses lines of the log, not the result
            continue
    try:
        wire.send(message)
    except (ValueError, TypeError, RecursionError) as error:
        wire.send({"failure": ["crash", f"the target's result is not JSON: {error}"]})
    os._exit(0)


def _forget_the_server(end: socket.socket) -> socket.socket:
    """`end` at a number that is always the same. Nothing else is left of what multiprocessing had open and knew: as
    long as a worker holds its pipes, the server outlives its controller, and what else ran could tell code why it
    runs."""
    forget(sys._getframe(2))  # this worker's way back into the server, which it never takes
    process.current_process()._identity = ()  # type: ignore[attr-defined]
    process._parent_process = None  # type: ignore[attr-defined]
    forkserver._forkserver.__init__()  # type: ignore[attr-defined]
    resource_tracker._resource_tracker._fd = None  # type: ignore[attr-defined]
    os.dup2(end.detach(), LINE)
    os.closerange(LINE + 1, max(map(int, os.listdir("/proc/self/fd"))) + 1)
    return socket.socket(fileno=LINE)


def _redirect(log: str) -> None:
    """stdin from nowhere, stdout and stderr to the end of the log, which may not be a link."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    for source, place in ((nowhere, 0), (file, 1), (file, 2)):
        os.dup2(source, place)
    os.close(nowhere)
    os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]


def _limit_data(limit_bytes: int) -> None:
    """Let an allocation past the limit fail here and now, where it can be named; the controller watches what is
    resident. The limit counts from what is mapped already: the warm process's memory is shared."""
    limit = data_bytes() + limit_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _volunteer() -> None:
    """When the machine runs out of memory, the kernel takes a worker and not the controller."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")
