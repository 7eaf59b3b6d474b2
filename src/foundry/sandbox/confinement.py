"""Confining this very process, for good, before code that isn't trusted is loaded: the way for warm, forked processes.

Environment wiped, limits set, a view of the file system of its own, privileges dropped, then Landlock and seccomp. Its
limits: memory is bounded by process and not together; a path's existence can be seen; timing and load can be; what the
parent held in memory at the fork is still there, so a process that forks contestants holds no secrets but the
environment, which is wiped.
May not: be undone, be used by a process with several threads.
"""

from __future__ import annotations

import ctypes
import os
import posix
import resource
import signal
import stat
from pathlib import Path

from foundry.core.errors import WorkError
from foundry.sandbox import landlock, own_proc, seccomp
from foundry.sandbox.policy import Policy, own_process_paths
from foundry.sandbox.reach import code_paths, module_folders

NOBODY = 65534
_HARMLESS_DEVICES = (Path("/dev/null"), Path("/dev/urandom"), Path("/dev/random"))
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _AMBIENT_CLEAR = 1, 24, 28, 47, 4
_ROOT_IS_NOTHING_SPECIAL_LOCKED = 0b0011  # SECBIT_NOROOT and its lock
CAPABILITY_VERSION_3 = 0x20080522


def available() -> bool:
    """Whether this kernel has what `confine` needs; that it works is for `tier.probe` to find out."""
    return seccomp.supported() and landlock.version() > 0


def confine(policy: Policy) -> None:
    """Leave this process what `policy` names and nothing else. Raises WorkError and then is half confined: end it."""
    try:
        threads = len(os.listdir("/proc/self/task"))
        if threads > 1:
            raise WorkError("sandbox.threads", message=f"{threads} threads: the others would stay free")
        user = _user_for(policy)
        _refuse_uncountable(policy, user)
        parent = os.getppid()
        wipe_environment(dict(policy.env))
        os.umask(0o077)
        drivers = [Path("/proc", name) for name in own_proc.DRIVERS] if policy.devices else []
        read = (*code_paths(), *policy.read, *own_process_paths(), *drivers)
        _limit(policy)
        own_proc.enter(
            policy.write, with_drivers=bool(policy.devices)
        )  # where it can't, the self-test sees what is open
        os.chdir(policy.write or "/")
        _drop_privileges(user)
        _die_with(parent)
        devices = (*_HARMLESS_DEVICES, *policy.devices)
        landlock.apply(read, [policy.write] if policy.write else [], devices, listed=module_folders())
        allowed = seccomp.program(os.getpid(), policy.processes > 1, policy.threads, shares_memory=bool(policy.devices))
        seccomp.apply(allowed)
    except OSError as error:
        raise WorkError("sandbox.failed", message=f"can't confine this process: {error}") from error


def wipe_environment(kept: dict[str, str]) -> None:
    """Make `kept` the whole environment; the bytes of the old one are overwritten, where exec and Python put them."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])  # env_start and env_end of proc(5), counted after the name
    old = [part for pair in posix.environ.items() for part in pair if len(part) > 1]  # shorter bytes are shared
    os.environ.clear()
    posix.environ.clear()
    ctypes.memset(start, 0, end - start)
    for part in old:
        ctypes.memset(id(part) + bytes.__basicsize__ - 1, 0, len(part))
    os.environ.update(kept)


def _refuse_uncountable(policy: Policy, user: int | None) -> None:
    if policy.processes > 1 and landlock.version() < landlock.SCOPE_SINCE:
        raise WorkError("sandbox.processes", message="only from Linux 6.12 on are several processes' signals bounded")
    if policy.processes > 1 and user is None and os.geteuid() == 0:
        raise WorkError(
            "sandbox.processes", message="the kernel doesn't count root's processes", hint="don't run as root"
        )


def _user_for(policy: Policy) -> int | None:
    """An unprivileged user to become, if we are root and that user can read what it must; else None."""
    if os.geteuid() != 0:
        return None
    if policy.write is not None and policy.write.stat().st_uid != NOBODY:
        return None
    reachable = all(_others_can_read(path) for path in (*code_paths(), *policy.read) if path.exists())
    return NOBODY if reachable else None


def _others_can_read(path: Path) -> bool:
    path = path.resolve()
    passable = all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)
    return passable and bool(path.stat().st_mode & stat.S_IROTH)


def _limit(policy: Policy) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: policy.file_bytes,
        resource.RLIMIT_NOFILE: policy.open_files,
        resource.RLIMIT_MEMLOCK: 0 if not policy.devices else resource.RLIM_INFINITY,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 0,  # counted by user: where some may be queued, failing tells of another's
    }
    if policy.cpu_seconds:
        limits[resource.RLIMIT_CPU] = policy.cpu_seconds
    if policy.processes > 1:
        limits[resource.RLIMIT_NPROC] = _processes_of_this_user() + policy.processes
    if policy.memory_bytes:
        pages = [int(field) for field in Path("/proc/self/statm").read_text().split()]
        page_bytes = resource.getpagesize()
        limits[resource.RLIMIT_DATA] = pages[5] * page_bytes + policy.memory_bytes
        if not policy.devices:  # a driver reserves address space by the terabyte
            limits[resource.RLIMIT_AS] = pages[0] * page_bytes + policy.memory_bytes
    for what, most in limits.items():
        hard = resource.getrlimit(what)[1]
        value = most if hard == resource.RLIM_INFINITY else hard if most == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (value, value))


def _processes_of_this_user() -> int:
    """RLIMIT_NPROC counts all processes and threads of the user, not only ours."""
    return sum(1 for entry in Path("/proc").glob("[0-9]*/task/*") if _owner(entry) == os.getuid())


def _owner(path: Path) -> int:
    try:
        return path.stat().st_uid
    except OSError:  # it has ended meanwhile
        return -1


def _die_with(parent: int) -> None:
    """Nothing confined outlives what confined it. After the change of user, which undoes this; before the filter."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _drop_privileges(user: int | None) -> None:
    """Give up every capability, now and through any program that is run; and root itself where `user` is given."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # numbers that the kernel doesn't know fail harmlessly
    libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)
    libc.prctl(_PR_SET_SECUREBITS, _ROOT_IS_NOTHING_SPECIAL_LOCKED, 0, 0, 0)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")
