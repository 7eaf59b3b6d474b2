"""What the forkserver imports before its first fork: this module, which imports the rest and makes it fit to fork.

A fork is only safe from a process with one thread and no CUDA context; both are checked once everything is imported.
May not: be imported by any other process.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import os
import pkgutil
import resource
import signal
import sys
import time
from collections.abc import Sequence

from foundry.execute import worker
from foundry.execute.linux import adopt_orphans, children, thread_count
from foundry.sandbox.reach import code_paths


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


def _redirect(file: str) -> None:
    """Standard output and error to a file of the controller's."""
    try:
        output = open(file, "ab", 0)  # noqa: SIM115
    except FileNotFoundError:  # the controller is gone already
        os._exit(0)
    output.truncate(0)
    with output, open(os.devnull, "rb", 0) as nothing:
        above = [fcntl.fcntl(each, fcntl.F_DUPFD, 3) for each in (nothing, output)]  # whatever was closed at the start
    for source, place in ((above[0], 0), (above[1], 1), (above[1], 2)):
        os.dup2(source, place)
    for handle in above:
        os.close(handle)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = (open(number, "w", 1, closefd=False) for number in (1, 2))  # noqa: SIM115


def _unfit_to_fork() -> str:
    """Why this process may not fork, or nothing."""
    if (count := thread_count()) != 1:
        return f"{count} threads after the imports, where a fork needs 1"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "CUDA was initialised by an import, which a fork doesn't survive"
    return ""


def _end() -> None:
    """The controller is gone: kill everything below this process and wait for it."""
    deadline = time.monotonic() + 1.0
    while (left := children(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.005)


_redirect(os.environ.pop("FOUNDRY_OUTPUT"))
os.setsid()  # Ctrl-C in a terminal is the controller's to answer
signal.signal(signal.SIGINT, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
adopt_orphans()
for _name in expand(os.environ.pop("FOUNDRY_PRELOAD").split()):
    try:
        importlib.import_module(_name)
    except Exception as error:  # whoever needs it imports it and says so
        print(f"not preloaded: {_name}: {type(error).__name__}: {error}", file=sys.stderr)
if _reason := _unfit_to_fork():
    sys.exit(_reason)
worker.SERVER = os.getpid()
code_paths()  # found once, for whoever is confined
atexit.register(_end)
gc.collect()
gc.freeze()  # a collection in a worker would copy every page that it only looks at
