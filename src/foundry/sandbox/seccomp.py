"""seccomp: the system calls that a confined process is refused, as a BPF program for the kernel.

Everything is allowed but what reaches out of the process, what changes the machine, and what this file doesn't know.
A list of what is allowed would be stricter and would break with each new libc, MKL or CUDA. May not: open, load or
decide anything else.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from foundry.sandbox import syscalls
from foundry.sandbox.syscalls import ARCHITECTURES, JUDGED_BY_ARGUMENT, NEWEST_KNOWN

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _GREATER_OR_EQUAL, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT = 0x40000000

_CLONE_THREAD, _CLONE_NEW = 0x00010000, 0x7E020080  # any new namespace
_MAP_SHARED_ANONYMOUS = 0x21
_OWN_SIGNALS_AND_OWNERS = (8, 10, 15)  # fcntl F_SETOWN, F_SETSIG, F_SETOWN_EX: signals sent by way of a file
_LOCKS_AND_WATCHES = (6, 7, 37, 38, 1024, 1026)  # fcntl F_SETLK, F_SETLKW, F_OFD_SETLK(W), F_SETLEASE, F_NOTIFY
_SIZES_OF_PIPES = (1031, 1032)  # fcntl F_SETPIPE_SZ and F_GETPIPE_SZ: their limit is the user's, of all its pipes
_HUGE_PAGES = 0x40000  # mmap MAP_HUGETLB: from one pool, which runs out
_TERMINAL_INPUT = (0x5412, 0x541C)  # ioctl TIOCSTI, TIOCLINUX: typing into somebody's terminal
_PR_SET_PDEATHSIG = 1
_CLOCKS = ("clock_gettime", "clock_getres", "clock_nanosleep")
_FUTEX_PRIVATE = 0x80
_RLIMIT_NPROC = 6
_CLOCK_OF_A_PROCESS = 0x80000000  # clock ids below zero name a process or a thread
_REACHES_THE_PAGE_CACHE = (3, 20, 21)  # madvise MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT


@dataclass(frozen=True)
class _Test:
    """Refuse, with `error`, when the low half of an argument, masked, is (or with `unless` is not) one of `values`."""

    argument: int
    values: tuple[int, ...]
    unless: bool = False
    mask: int = 0xFFFFFFFF
    error: int = errno.EPERM


def supported() -> bool:
    return platform.machine() in ARCHITECTURES and os.path.exists("/proc/sys/kernel/seccomp/actions_avail")


def program(pid: int, may_start_processes: bool, may_start_threads: bool, shares_memory: bool) -> bytes:
    """The filter for the process `pid`, as struct sock_filter[]. Raises KeyError on an unknown machine.

    may_start_processes: then signals to others are Landlock's to refuse, since a filter doesn't know its children.
    may_start_threads: their numbers are drawn from the machine's, and tell how many others were drawn meanwhile.
    shares_memory: whether it may make shared anonymous memory, which no limit of its own counts.
    """
    column, architecture = ARCHITECTURES[platform.machine()]
    refused = syscalls.NETWORK | syscalls.OTHER_PROCESSES | syscalls.SHARED_STATE
    refused |= syscalls.FILE_ATTRIBUTES | syscalls.SYSTEM
    if not may_start_processes:
        refused |= syscalls.NEW_PROCESSES
    if not may_start_threads:
        refused |= {"clone": JUDGED_BY_ARGUMENT["clone"]}

    code = [_load(_ARCHITECTURE_AT), _jump(_EQUAL, architecture, 1, 0), _return(_KILL)]
    code += [_load(_NUMBER_AT)]
    code += [_jump(_GREATER_OR_EQUAL, NEWEST_KNOWN + 1, 0, 1), _return(_ERRNO | errno.ENOSYS)]  # x32 calls too
    code += [_jump(_EQUAL, JUDGED_BY_ARGUMENT["clone3"][column] or 0, 0, 1), _return(_ERRNO | errno.ENOSYS)]
    for numbers in refused.values():
        if (number := numbers[column]) is not None:
            code += [_jump(_EQUAL, number, 0, 1), _return(_ERRNO | errno.EPERM)]
    for name, test in _tests(pid, may_start_processes, shares_memory):
        body = _body(test)
        number = JUDGED_BY_ARGUMENT[name][column]
        assert number is not None
        code += [_jump(_EQUAL, number, 0, len(body)), *body]
    return b"".join([*code, _return(_ALLOW)])


def _tests(pid: int, may_start_processes: bool, shares_memory: bool) -> list[tuple[str, _Test]]:
    """What is refused by its arguments. (clone3's are out of a filter's sight: it is missing, and libc uses clone.)"""
    tests = [
        ("prlimit64", _Test(0, (0, pid), unless=True)),
        ("prlimit64", _Test(1, (_RLIMIT_NPROC,))),  # lowered, it tells how many the user has
        ("setrlimit", _Test(0, (_RLIMIT_NPROC,))),
        ("sched_setaffinity", _Test(0, (0, pid), unless=True)),
        ("sched_getaffinity", _Test(0, (0, pid), unless=True)),
        *((name, _Test(0, (_CLOCK_OF_A_PROCESS,), mask=_CLOCK_OF_A_PROCESS)) for name in _CLOCKS),
        ("madvise", _Test(2, _REACHES_THE_PAGE_CACHE)),
        ("mmap", _Test(3, (_HUGE_PAGES,), mask=_HUGE_PAGES)),
        ("prctl", _Test(0, (_PR_SET_PDEATHSIG,))),
        ("fcntl", _Test(1, (*_OWN_SIGNALS_AND_OWNERS, *_LOCKS_AND_WATCHES, *_SIZES_OF_PIPES))),
        ("ioctl", _Test(1, _TERMINAL_INPUT)),
        ("clone", _Test(0, (0,), unless=True, mask=_CLONE_NEW)),
    ]
    if not may_start_processes:
        tests.append(("clone", _Test(0, (0,), mask=_CLONE_THREAD)))
        tests += [(name, _Test(0, (pid,), unless=True)) for name in ("kill", "tgkill")]
    if not shares_memory:
        tests.append(("mmap", _Test(3, (_MAP_SHARED_ANONYMOUS,), mask=_MAP_SHARED_ANONYMOUS)))
        # Any page of a file that two may read is a futex of both. libc waits for a thread's end on such a one, and
        # looks again at once when it is told that the value has changed.
        tests.append(("futex", _Test(1, (0,), mask=_FUTEX_PRIVATE, error=errno.EAGAIN)))
    return tests


def _body(test: _Test) -> list[bytes]:
    """Load the argument, refuse or go on; the call's number is loaded again for what comes after."""
    refuse = _return(_ERRNO | test.error)
    code = [_load(_ARGUMENTS_AT + 8 * test.argument), struct.pack("<HBBI", _AND, 0, 0, test.mask)]
    for left, value in zip(range(len(test.values) - 1, -1, -1), test.values, strict=True):
        # to the refusal, which stands after the last comparison; or, in an exception's list, past it
        code.append(_jump(_EQUAL, value, left + (1 if test.unless else 0), 0 if left or test.unless else 1))
    return [*code, refuse, _load(_NUMBER_AT)]


def apply(filter_program: bytes) -> None:
    """Put the filter on this thread and all that it starts, for good. Raises OSError."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    wanted = Program(len(filter_program) // 8, filter_program)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(wanted), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def _load(at: int) -> bytes:
    return struct.pack("<HBBI", _LOAD, 0, 0, at)


def _jump(test: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("<HBBI", test, if_true, if_false, value)


def _return(action: int) -> bytes:
    return struct.pack("<HBBI", _RETURN, 0, 0, action)
