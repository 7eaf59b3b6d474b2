"""A view of the file system of one process's own: of /proc nothing but itself, and nothing to write but one folder.

What a process has open, its threads and its name stand in /proc for all who may stat, which neither Landlock nor a
filter of system calls governs: two that are confined could talk so. Where all is read-only, reading leaves no time of
reading behind. May not: be told of processes that are started afterwards.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
_HERE, _EMPTY_PATH, _RECURSIVE, _CLONE = -100, 0x1000, 0x8000, 1  # AT_FDCWD, AT_…, OPEN_TREE_CLONE
_FROM_HANDLE, _READ_ONLY, _PRIVATE = 0x4, 1, 1 << 18  # MOVE_MOUNT_F_EMPTY_PATH, MOUNT_ATTR_RDONLY, MS_PRIVATE
_NO_SUID_DEVICES_PROGRAMS = 0x2 | 0x4 | 0x8
_KEPT = ("cpuinfo",)
"""Of the machine's, what numeric libraries choose their code by."""
DRIVERS = ("driver/nvidia", "devices")
"""And what an accelerator's library asks its driver by."""


def enter(write: Path | None, with_drivers: bool = False) -> bool:
    """Whether this process has such a view from now on; False where the kernel or a container refuses it.

    Only for a process with one thread, before it gives up its capabilities."""
    try:
        _new_namespace()
        _set(b"/", propagation=_PRIVATE)
        if write is not None:
            _put(os.open(write, os.O_PATH), str(write))
        own = os.open(f"/proc/{os.getpid()}", os.O_PATH)
        names = [name for name in (*_KEPT, *(DRIVERS if with_drivers else ())) if os.path.exists(f"/proc/{name}")]
        kept = {Path("/proc", name): os.open(f"/proc/{name}", os.O_PATH) for name in names}
        folders = {path for path in kept if path.is_dir()}
        _checked(_libc().mount(b"none", b"/proc", b"tmpfs", _NO_SUID_DEVICES_PROGRAMS, b"mode=755,size=64k"))
        os.mkdir(f"/proc/{os.getpid()}")
        os.symlink(str(os.getpid()), "/proc/self")
        os.symlink(f"{os.getpid()}/task/{os.getpid()}", "/proc/thread-self")
        _put(own, f"/proc/{os.getpid()}")
        for path, handle in kept.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if path in folders else path.touch()
            _put(handle, str(path))
        _set(b"/", add=_READ_ONLY)
        if write is not None:
            _set(os.fsencode(write), remove=_READ_ONLY)
    except OSError:
        return False
    return True


def _new_namespace() -> None:
    """Of mounts; with a user namespace around it where this process may not make one without."""
    if _libc().unshare(_NEW_MOUNTS) == 0:
        return
    user, group = os.geteuid(), os.getegid()
    _checked(_libc().unshare(_NEW_MOUNTS | _NEW_USER))
    for name, content in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path(f"/proc/self/{name}").write_text(content)


def _put(handle: int, at: str) -> None:
    """What `handle` names, and all that is mounted in it, at another place too."""
    try:
        tree = _libc().syscall(_OPEN_TREE, handle, b"", _CLONE | _EMPTY_PATH | _RECURSIVE)
        _checked(tree)
        try:
            _checked(_libc().syscall(_MOVE_MOUNT, tree, b"", _HERE, os.fsencode(at), _FROM_HANDLE))
        finally:
            os.close(tree)
    finally:
        os.close(handle)


def _set(path: bytes, add: int = 0, remove: int = 0, propagation: int = 0) -> None:
    attributes = struct.pack("=QQQQ", add, remove, propagation, 0)
    _checked(_libc().syscall(_MOUNT_SETATTR, _HERE, path, _RECURSIVE, attributes, len(attributes)))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
