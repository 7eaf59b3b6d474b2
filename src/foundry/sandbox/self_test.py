"""The self-test's program: it is confined as a contestant would be, then tries to get out by each way it knows.

    python -m foundry.sandbox.self_test '{"policy": {...}, ...}'     (tier.py starts it)

Prints lines of {"escapes": [...]}: what it managed and shouldn't have, or couldn't and should have. May not: harm
anything but what was planted for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundry.sandbox.confinement import CAPABILITY_VERSION_3, confine
from foundry.sandbox.policy import Policy

_CLONE_NEWUSER, _PTRACE_ATTACH, _IO_URING_SETUP, _PR_CAPBSET_READ = 0x10000000, 16, 425, 23
PEERS_FILE = 100
NAMESPACES = ("user", "pid", "net", "ipc", "mnt", "uts")


def attempts(planted: dict[str, Any], policy: Policy) -> dict[str, Callable[[], object]]:
    """Name → what must raise OSError or MemoryError."""
    secret, victim, decoy, peer = (planted[name] for name in ("secret", "victim", "decoy", "peer"))
    inside = policy.write or Path("/")
    return {
        "connect over TCP": lambda: socket.create_connection(("127.0.0.1", planted["port"]), timeout=1),
        "send over UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
        "connect to a unix socket": lambda: _unix(planted["unix"]),
        "read a file outside": lambda: Path(secret).read_text(),
        "read through a link": lambda: _through_link(inside / "to_secret", secret).read_text(),
        "list a folder outside": lambda: os.listdir(Path(secret).parent),
        "write a file outside": lambda: Path(victim).write_text("changed"),
        "write through a link": lambda: _through_link(inside / "to_victim", victim).write_text("changed"),
        "delete a file outside": lambda: os.unlink(victim),
        "move a file outside": lambda: os.rename(victim, victim + ".moved"),
        "link a file inside": lambda: os.link(victim, inside / "linked"),
        "create a file outside": lambda: Path(victim).with_name("created").touch(),
        "change a file's mode": lambda: os.chmod(victim, 0),
        "change a file's times": lambda: os.utime(victim, (0, 0)),
        "change the program": lambda: Path(__file__).open("a"),
        "signal another process": lambda: os.kill(decoy, signal.SIGTERM),
        "signal the parent": lambda: os.kill(os.getppid(), 0) if os.getppid() > 1 else _none_there(),
        "signal everybody": lambda: os.kill(-1, 0),
        "trace another process": lambda: _call("ptrace", _PTRACE_ATTACH, decoy, 0, 0),
        "read another's environment": lambda: Path(f"/proc/{decoy}/environ").read_bytes(),
        "read another's memory": lambda: open(f"/proc/{decoy}/mem", "rb").close(),
        "make a user namespace": lambda: _call("unshare", _CLONE_NEWUSER),
        "mount": lambda: _call("mount", b"none", os.fsencode(policy.read[0]), b"tmpfs", 0, None),
        "lock a file that others read": lambda: _on_file(__file__, lambda file: fcntl.flock(file, fcntl.LOCK_SH)),
        "lock a part of one": lambda: _on_file(__file__, lambda file: fcntl.lockf(file, fcntl.LOCK_SH)),
        "watch a file that others read": lambda: _call("inotify_init"),
        "count the user's timers": _make_a_timer,
        "count the user's queued signals": _queue_a_signal,
        "read how many signals the user has": lambda: Path("/proc/self/status").read_text(),
        "the same of a thread": lambda: Path("/proc/thread-self/status").read_text(),
        "set up io_uring": lambda: _call("syscall", _IO_URING_SETUP, 8, ctypes.create_string_buffer(120)),
        "write a file too large": lambda: (inside / "large").write_bytes(bytes(policy.file_bytes + 1)),
        "share uncounted memory": lambda: mmap.mmap(-1, 1 << 20),
        "take too much memory": lambda: bytearray(2 * policy.memory_bytes),
        "start a process": _fork,
        "see that another contestant is there": lambda: os.stat(f"/proc/{peer}"),
        "count what another contestant has open": lambda: os.stat(f"/proc/{peer}/fd"),
        "see how another contestant has opened a file": lambda: os.lstat(f"/proc/{peer}/fd/{PEERS_FILE}"),
        "count another contestant's threads": lambda: os.stat(f"/proc/{peer}/task"),
    }


def start_peer(policy: Policy) -> int:
    """Another contestant, confined alike, with a file open; it ends with this process."""
    told, tell = os.pipe()
    until, end = os.pipe()
    peer = os.fork()
    if peer == 0:
        os.close(end)
        confine(policy)
        os.dup2(os.open(os.devnull, os.O_WRONLY), PEERS_FILE)
        os.write(tell, b"1")
        os.read(until, 1)  # a signal at the other's death would not pass between the two
        os._exit(0)
    os.close(tell)
    if not os.read(told, 1):
        raise OSError("another contestant can't be confined")
    os.close(told)
    return peer


def escapes(planted: dict[str, Any], policy: Policy) -> list[str]:
    """What was possible and should not be, and the other way round."""
    found = []
    for name, attempt in attempts(planted, policy).items():
        with contextlib.suppress(OSError, MemoryError):
            attempt()
            found.append(name)
    if planted["token"] in json.dumps(dict(os.environ)) or planted["token"].encode() in _initial_environment():
        found.append("see a secret in the environment")
    if holds_capabilities():
        found.append("hold capabilities")
    for name, allowed in {
        "read what it may": lambda: os.listdir(policy.read[0]),
        "write where it may": lambda: (policy.write or Path("/")).joinpath("allowed").write_text("x"),
        "import what it may": lambda: __import__("wave"),
    }.items():
        try:
            allowed()
        except (OSError, ImportError) as error:
            found.append(f"could not {name}: {error}")
    for name, outside in planted["namespaces"].items():
        if os.readlink(f"/proc/self/ns/{name}") == outside:
            found.append(f"shares the {name} namespace")
    return found


def holds_capabilities() -> bool:
    """Whether this process has any, or could get any through a program."""
    libc, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 6)()
    libc.capget((ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), sets)
    effective_and_permitted = (*sets[0:2], *sets[3:5])
    return any(effective_and_permitted) or any(libc.prctl(_PR_CAPBSET_READ, each, 0, 0, 0) == 1 for each in range(64))


def _initial_environment() -> bytes:
    try:
        return Path("/proc/self/environ").read_bytes()
    except OSError:  # out of reach is as good as empty
        return b""


def _through_link(link: Path, target: str) -> Path:
    with contextlib.suppress(OSError):
        link.symlink_to(target)
    return link


def _unix(address: str) -> None:
    socket.socket(socket.AF_UNIX).connect("\0" + address)


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _on_file(path: str, action: Callable[[int], object]) -> None:
    with open(path, "rb") as file:
        action(file.fileno())


def _make_a_timer() -> None:
    _call("timer_create", 1, None, ctypes.byref(ctypes.c_void_p()))


def _queue_a_signal() -> None:
    """A real-time signal to this thread; beyond the user's limit it arrives without saying who sent it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
    try:
        signal.pthread_kill(threading.get_ident(), signal.SIGRTMIN)
        heard = signal.sigtimedwait({signal.SIGRTMIN}, 1)
        if heard is None or heard.si_pid == 0:
            raise OSError("not queued")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _none_there() -> None:
    raise ProcessLookupError


def _call(function: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), function)


def main() -> None:
    order = json.loads(sys.argv[1])
    policy = Policy.from_json(order["policy"])
    order["planted"]["peer"] = start_peer(policy)
    confine(policy)
    print(json.dumps({"escapes": escapes(order["planted"], policy)}), flush=True)
    with contextlib.suppress(OSError):  # last, as nothing comes after it if it works
        os.execv(sys.executable, [sys.executable, "-c", """print('{"escapes": ["run a program"]}')"""])


if __name__ == "__main__":
    main()
