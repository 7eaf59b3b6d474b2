"""What two contestants of one judging could tell each other: each way is tried between two processes.

A way is closed when the reader, or the writer, is refused; between two processes that nothing confines each of them
carries a bit, which is the control. What is left open is in docs/judge.md.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.sandbox import confinement
from foundry.sandbox.policy import Policy
from tests.between import BOTH_READ, LIBC, between, call

FUTEX_WAIT, FUTEX_WAKE, FUTEX_PRIVATE = 0, 1, 128
needs_kernel = pytest.mark.parametrize("here", ["this kernel"] if confinement.available() else [])


def page() -> ctypes.c_void_p:
    """A page of a file that both may read, for good."""
    LIBC.mmap.restype = ctypes.c_void_p
    with BOTH_READ.open("rb") as file:
        return ctypes.c_void_p(LIBC.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE, file.fileno(), ctypes.c_long(0)))


def wait_on_a_page() -> None:
    value = ctypes.c_uint32.from_address(page().value or 0).value
    call("futex", page(), FUTEX_WAIT, value, ctypes.byref((ctypes.c_long * 2)(20, 0)), None, 0)


def woken_on_a_page(peer: int) -> bool:
    for _ in range(400):
        if call("futex", page(), FUTEX_WAKE, 1, None, None, 0):
            return True
        time.sleep(0.005)
    return False


def spin() -> None:
    while time.process_time() < 0.05:
        pass


def its_cpu_time(peer: int) -> bool:
    for _ in range(400):
        if time.clock_gettime(~peer << 3 | 2) >= 0.04:
            return True
        time.sleep(0.005)
    return False


def stay_on_a_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def its_cores(peer: int) -> bool:
    before = len(os.sched_getaffinity(0))
    for _ in range(400):
        if len(os.sched_getaffinity(peer)) < before or before == 1:
            return True
        time.sleep(0.005)
    return False


def there(name: str) -> Callable[[int], bool]:
    """Whether the peer is there at all."""
    more: dict[str, tuple[Any, ...]] = {
        "sched_getparam": (ctypes.byref(ctypes.c_int()),),
        "sched_getattr": (ctypes.create_string_buffer(56), 56, 0),
        "sched_rr_get_interval": (ctypes.create_string_buffer(16),),
        "get_robust_list": (ctypes.byref(ctypes.c_void_p()), ctypes.byref(ctypes.c_size_t())),
    }
    with_kind = name in ("getpriority", "ioprio_get")

    def look(peer: int) -> bool:
        before = (0 if name == "getpriority" else 1,) if with_kind else ()
        return call(name, *before, peer, *more.get(name, ())) >= 0

    return look


def nothing() -> None: ...


def start_threads() -> None:
    from threading import Event, Thread

    for _ in range(50):
        Thread(target=Event().wait, daemon=True).start()


def numbers_drawn(peer: int) -> bool:
    """Whether many threads were numbered between two of one's own."""
    from threading import Thread

    def drawn() -> int:
        one = Thread(target=nothing)
        one.start()
        assert one.native_id is not None
        return one.native_id

    before = drawn()
    for _ in range(400):
        if drawn() - before > 40:
            return True
        time.sleep(0.005)
    return False


def count_of_the_user(peer: int) -> bool:
    """Whether a limit on the user's processes says how many there are."""
    import resource

    most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    resource.setrlimit(resource.RLIMIT_NPROC, (1, most))
    return True


PROBES = ("getsid", "getpgid", "getpriority", "ioprio_get", "sched_getscheduler", "sched_getparam", "sched_getattr",
          "sched_rr_get_interval", "get_robust_list")  # fmt: skip
WAYS: dict[str, tuple[Callable[[], None], Callable[[int], bool]]] = {
    "a futex in a file's page": (wait_on_a_page, woken_on_a_page),
    "the other's processor time": (spin, its_cpu_time),
    "the other's affinity": (stay_on_a_core, its_cores),
    "numbers of threads": (start_threads, numbers_drawn),
    "the user's number of processes": (nothing, count_of_the_user),
    **{f"whether the other is there, by {name}": (nothing, there(name)) for name in PROBES},
}


@needs_kernel
@pytest.mark.parametrize("way", WAYS)
def test_one_contestant_hears_nothing_of_another_that_way(here: str, way: str) -> None:
    assert between(*WAYS[way], None) == "heard", "the control: nothing is confined"
    assert between(*WAYS[way], Policy(threads=False)) != "heard"


ALONE: dict[str, Callable[[], object]] = {
    "the machine's processes and memory": lambda: call("sysinfo", ctypes.create_string_buffer(256)),
    "free memory, in /proc": lambda: Path("/proc/meminfo").read_text(),
    "load, in /proc": lambda: Path("/proc/loadavg").read_text(),
    "sockets and interfaces": lambda: Path("/proc/self/net/dev").read_text(),
    "the machine's counters": lambda: Path("/proc/stat").read_text(),
    "keys of the user": lambda: Path("/proc/keys").read_text(),
    "which pages of a file are in memory": lambda: call("mincore", page(), 4096, ctypes.create_string_buffer(1)),
    "reading only what is in memory": lambda: _on(
        BOTH_READ, lambda fd: os.preadv(fd, [bytearray(9)], 0, os.RWF_NOWAIT)
    ),
    "dropping a file's pages": lambda: _on(BOTH_READ, lambda fd: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)),
    "reading a file ahead": lambda: _on(BOTH_READ, lambda fd: call("readahead", fd, ctypes.c_long(0), 4096)),
    "asking for pages of a file": lambda: call("madvise", page(), 4096, mmap.MADV_WILLNEED),
    "a key of the user's": lambda: call("add_key", b"user", b"foundry", b"x", 1, -3),
    "a queue": lambda: call("msgget", 0, 0o600),
    "a semaphore": lambda: call("semget", 0, 1, 0o600),
    "the size of a pipe, of which a user has so much": lambda: fcntl.fcntl(os.pipe()[1], fcntl.F_SETPIPE_SZ, 1 << 16),
    "free space on a disk": lambda: os.statvfs(BOTH_READ),
    "free memory of a node": lambda: Path("/sys/devices/system/node/node0/meminfo").read_text(),
    "a file in /tmp": lambda: Path(f"/tmp/foundry-{os.getpid()}").touch(),
    "a file in shared memory": lambda: Path(f"/dev/shm/foundry-{os.getpid()}").touch(),
    "an abstract socket": lambda: socket.socket(socket.AF_UNIX).bind(f"\0foundry-{os.getpid()}"),
    "a watch on what is read": lambda: call("inotify_init1", 0),
}
"""What one process can look up, or change, of a state that all share."""
MAY_BE_MISSING = ("keys of the user", "a key of the user's")
"""In a container, whose own sandbox refuses them."""


def _on(path: Path, act: Callable[[int], object]) -> object:
    with path.open("rb") as file:
        return act(file.fileno())


@needs_kernel
@pytest.mark.parametrize("what", ALONE)
def test_state_that_all_share_is_neither_shown_nor_changed(here: str, what: str) -> None:
    def tried() -> bool:
        ALONE[what]()
        return True

    assert refused(tried, None) == "heard" or what in MAY_BE_MISSING, "the control: nothing is confined"
    assert refused(tried, Policy()).startswith("refused")


def refused(tried: Callable[[], bool], policy: Policy | None) -> str:
    return between(nothing, lambda peer: tried(), policy)


@needs_kernel
def test_threads_end_and_are_waited_for_and_own_clocks_are_read(here: str) -> None:
    """What is refused above is refused of others alone: a part that has threads goes on."""

    def threads_of_ones_own(peer: int) -> bool:
        from threading import Thread

        own = [Thread(target=lambda: sum(range(1000))) for _ in range(4)]
        for each in own:
            each.start()
        for each in own:
            each.join()
        handle, done = ctypes.c_ulong(), ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: None)
        assert LIBC.pthread_create(ctypes.byref(handle), None, done, None) == 0
        assert LIBC.pthread_join(handle, None) == 0
        return time.process_time() > 0 and time.thread_time() > 0 and len(os.sched_getaffinity(0)) > 0

    assert between(nothing, threads_of_ones_own, Policy()) == "heard"
