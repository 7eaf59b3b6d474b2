"""Landlock: the files that a confined process can reach, by folder; no TCP, no signals or sockets to the outside.

https://docs.kernel.org/userspace-api/landlock.html. What an old kernel doesn't handle is left to seccomp. May not:
undo anything, restrict metadata (a path's existence shows; seccomp refuses chmod and its like).
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION_FLAG, _PATH_BENEATH, _PR_SET_NO_NEW_PRIVS = 1, 1, 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_MAKE_DEVICES = 1 << 6 | 1 << 11  # character and block devices
_RIGHTS_SINCE = {1: (1 << 13) - 1, 2: 1 << 13, 3: _TRUNCATE, 5: _IOCTL_DEVICE}
_TCP_SINCE, SCOPE_SINCE = 4, 6
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals


def version() -> int:
    """The ABI that this kernel offers, 0 for none."""
    return max(0, _libc().syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG))


def apply(read: Iterable[Path], write: Iterable[Path], devices: Iterable[Path], listed: Iterable[Path] = ()) -> None:
    """Leave this process and all that it starts these trees and files only, for good. What doesn't exist is left out.
    Of `listed` trees the names can be read: Python looks for modules so.

    Raises OSError where the kernel has no Landlock. Only for a process with one thread.
    """
    libc, abi = _libc(), version()
    all_rights = 0
    for since, rights in _RIGHTS_SINCE.items():
        all_rights |= rights if abi >= since else 0
    fields = [all_rights, _ALL_TCP if abi >= _TCP_SINCE else None, _ALL_SCOPES if abi >= SCOPE_SINCE else None]
    attributes = b"".join(struct.pack("=Q", field) for field in fields if field is not None)
    ruleset = _checked(libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0), "landlock_create_ruleset")
    try:
        for paths, rights in (
            (read, _READ),
            (write, all_rights & ~_IOCTL_DEVICE & ~_MAKE_DEVICES),
            (devices, _READ_FILE | _WRITE_FILE | _IOCTL_DEVICE),
            (listed, _READ_DIR),
        ):
            for path in paths:
                _allow(libc, ruleset, path, rights & all_rights)
        _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
        _checked(libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # what we can't see ourselves needs no rule
        return
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _ON_FILES
        rule = struct.pack("=Qi", rights, handle)
        _checked(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), f"landlock_add_rule {path}")
    finally:
        os.close(handle)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result
