"""What a process leaves for others to see, in /proc and on files that both may read: each trace is looked for.

As in test_channels.py: whoever is confined hears nothing, and between two that nothing confines each carries a bit.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from foundry.sandbox import confinement
from foundry.sandbox.policy import Policy
from tests.between import BOTH_READ, LIBC, between, call, comes

MOST_REQUESTS = int(Path("/proc/sys/fs/aio-max-nr").read_text())
needs_kernel = pytest.mark.parametrize("here", ["this kernel"] if confinement.available() else [])


def nothing() -> None: ...


def files_with_a_pattern() -> None:
    for number in range(60):
        os.dup2(os.open(os.devnull, os.O_RDWR if number % 3 else os.O_WRONLY), 100 + number)


def its_files_modes(peer: int) -> bool:
    return comes(
        lambda: [os.lstat(f"/proc/{peer}/fd/{100 + n}").st_mode & 0o700 for n in (0, 1, 3)], [0o300, 0o700, 0o300]
    )


def its_count_of_files(peer: int) -> bool:
    """As the size of a folder, on newer kernels; else by the last of them."""
    before = os.stat("/proc/self/fd").st_size
    folder = Path(f"/proc/{peer}/fd")
    return comes(lambda: os.path.lexists(folder / "159") or folder.stat().st_size > before + 50, True)


def a_thread() -> None:
    from threading import Event, Thread

    Thread(target=Event().wait, daemon=True).start()


def its_count_of_threads(peer: int) -> bool:
    return comes(lambda: os.stat(f"/proc/{peer}/task").st_nlink, 4)


def its_being_there(peer: int) -> bool:
    return comes(lambda: os.stat(f"/proc/{peer}").st_nlink > 0, True)


def take_a_name() -> None:
    LIBC.prctl(15, b"bit")


def its_name(peer: int) -> bool:
    return comes(lambda: Path(f"/proc/{peer}/comm").read_text(), "bit\n")


def its_position_in_a_file(peer: int) -> bool:
    return comes(lambda: "flags" in Path(f"/proc/{peer}/fdinfo/100").read_text(), True)


def signal_to_it(peer: int) -> bool:
    os.kill(peer, 0)
    return True


def signal_to_its_thread(peer: int) -> bool:
    return call("tgkill", peer, peer, 0) == 0


def handle_of_it(peer: int) -> bool:
    return call("pidfd_open", peer, 0) > 0


def its_limits(peer: int) -> bool:
    return call("prlimit64", peer, 7, None, ctypes.create_string_buffer(16)) == 0


def lock_a_file() -> None:
    fcntl.flock(os.open(BOTH_READ, os.O_RDONLY), fcntl.LOCK_EX)


def locked_by_another(peer: int) -> bool:
    handle = os.open(BOTH_READ, os.O_RDONLY)

    def is_locked() -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(handle, fcntl.LOCK_UN)
        return False

    return comes(is_locked, True)


def lock_a_part_of_a_file() -> None:
    fcntl.lockf(os.open(BOTH_READ, os.O_RDONLY), fcntl.LOCK_SH, 1, 7)


def a_part_locked_by_another(peer: int) -> bool:
    """F_GETLK answers who holds a lock that stands in the way of a writer's."""
    handle, asked = os.open(BOTH_READ, os.O_RDONLY), struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 7, 1, 0)
    return comes(lambda: struct.unpack("hhqqi4x", fcntl.fcntl(handle, fcntl.F_GETLK, asked))[4], peer)


def open_a_file() -> None:
    os.open(BOTH_READ, os.O_RDONLY)


def kept_from_a_lease(peer: int) -> bool:
    """A file that another has open can't be leased for writing."""
    handle = os.open(BOTH_READ, os.O_RDONLY)

    def is_open_elsewhere() -> bool:
        try:
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False

    return comes(is_open_elsewhere, True)


def reserve_requests() -> None:
    for _ in range(3):
        call("io_setup", MOST_REQUESTS // 6, ctypes.byref(ctypes.c_void_p()))


def few_requests_are_left(peer: int) -> bool:
    """The machine's asynchronous requests are counted together: of what others hold, nobody else gets any."""

    def are_few() -> bool:
        context = ctypes.c_void_p()
        try:
            call("io_setup", MOST_REQUESTS // 4 * 3, ctypes.byref(context))
        except BlockingIOError:
            return True
        call("io_destroy", context)
        return False

    return comes(are_few, True)


WAYS: dict[str, tuple[Callable[[], None], Callable[[int], bool]]] = {
    "how the other has opened its files": (files_with_a_pattern, its_files_modes),
    "how many files the other has open": (files_with_a_pattern, its_count_of_files),
    "how many threads the other has": (a_thread, its_count_of_threads),
    "whether the other is there, by /proc": (nothing, its_being_there),
    "the other's name": (take_a_name, its_name),
    "what the other has open, in fdinfo": (files_with_a_pattern, its_position_in_a_file),
    "a signal to the other": (nothing, signal_to_it),
    "a signal to the other's thread": (nothing, signal_to_its_thread),
    "a handle of the other": (nothing, handle_of_it),
    "the other's limits": (nothing, its_limits),
    "a lock on a file": (lock_a_file, locked_by_another),
    "a lock on a part of a file": (lock_a_part_of_a_file, a_part_locked_by_another),
    "whether the other has a file open, by a lease": (open_a_file, kept_from_a_lease),
    "asynchronous requests of the machine's": (reserve_requests, few_requests_are_left),
}


@needs_kernel
@pytest.mark.parametrize("way", WAYS)
def test_one_contestant_sees_no_trace_of_another(here: str, way: str) -> None:
    assert between(*WAYS[way], None) == "heard", "the control: nothing is confined"
    assert between(*WAYS[way], Policy()) != "heard"


@needs_kernel
def test_reading_a_file_leaves_no_time_of_reading(here: str, tmp_path: Path) -> None:
    """The time is put down where the last one is older than the file; where a disk keeps none, nobody hears."""
    file = tmp_path / "read by both"
    file.write_bytes(b"x")

    def read() -> None:
        file.read_bytes()

    def said(policy: Policy | None) -> str:
        os.utime(file, (0, 1))
        return between(read, lambda peer: comes(lambda: file.stat().st_atime > 0, True), policy)

    keeps_times = not os.statvfs(file).f_flag & os.ST_NOATIME
    assert said(None) == ("heard" if keeps_times else "nothing")
    assert said(Policy(read=(file,))) == "nothing"


@needs_kernel
def test_a_process_that_is_confined_is_there_for_itself(here: str) -> None:
    """Numeric libraries look up their own memory and the kind of processor."""

    def looks_itself_up(peer: int) -> bool:
        return Path("/proc/self/maps").read_text() != "" and Path("/proc/cpuinfo").read_text() != ""

    assert between(nothing, looks_itself_up, Policy()) == "heard"
