"""bubblewrap: a command line in namespaces of its own, where what isn't named doesn't exist. The way for new processes.

No network device but a dead loopback, no other process in sight, code and data read-only, one writable folder, a
non-root user, no further users, an environment of named variables. What runs inside then confines itself too
(confinement.py), which takes away its capabilities and other processes of the same bubblewrap, and adds limits and the
system call filter. May not: limit memory or time.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from foundry.core.errors import WorkError
from foundry.sandbox.confinement import NOBODY
from foundry.sandbox.policy import Policy
from foundry.sandbox.reach import outermost, package_folders, packages, trees

_NAMESPACES = ("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts")
_USER = ("--uid", str(NOBODY), "--gid", str(NOBODY), "--disable-userns", "--cap-drop", "ALL")
_FOR_CONFINING = ("--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETPCAP")
"""In there alone, until what runs inside confines itself: for a /proc of its own, and to give these up."""
_ENDS = ("--die-with-parent", "--new-session")


def available() -> bool:
    """Whether it is installed; that it works is for `tier.probe` to find out."""
    return shutil.which("bwrap") is not None


def wrap(argv: Sequence[str], policy: Policy) -> list[str]:
    """The command line that runs `argv` inside. Raises WorkError when bubblewrap isn't installed."""
    program = shutil.which("bwrap")
    if program is None:
        raise WorkError("sandbox.no_bubblewrap", message="bwrap is not installed", hint="apt install bubblewrap")
    command = [
        program,
        *_NAMESPACES,
        "--unshare-cgroup-try",
        *_USER,
        *_FOR_CONFINING,
        *_ENDS,
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    ]
    shown = _shown(trees())
    for path in shown:
        command += ["--ro-bind", str(path), str(path)]
    inside = [folder for folder in package_folders() if any(folder.is_relative_to(path) for path in shown)]
    emptied = [str(folder) for folder in inside if folder.is_dir()]
    for folder in emptied:
        command += ["--tmpfs", folder]
    for path in _shown((*packages(), *policy.read)):
        command += ["--ro-bind", str(path), str(path)]
    for folder in emptied:
        command += ["--remount-ro", folder]
    for device in policy.devices:
        command += ["--dev-bind", str(device), str(device)]
    if policy.write is not None:
        command += ["--bind", str(policy.write), str(policy.write)]
    command += ["--remount-ro", "/dev", "--remount-ro", "/"]  # what holds the others together
    command += ["--chdir", str(policy.write or "/"), "--clearenv"]
    for name, value in policy.env.items():
        command += ["--setenv", name, value]
    return [*command, "--", *argv]


def _shown(paths: Sequence[Path]) -> list[Path]:
    """What exists; bubblewrap mounts a /proc of its own."""
    return [path for path in outermost(paths) if path.exists() and not path.is_relative_to("/proc")]
