"""Which sandbox this machine has, found out by trying to get out of it.

A tier counts when its self-test passes, never because something is installed. May not: choose a weaker tier silently.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundry.core.errors import RequestError
from foundry.sandbox import bubblewrap, confinement
from foundry.sandbox.policy import Policy, passed_on
from foundry.sandbox.self_test import NAMESPACES

TIERS = ("none", "landlock", "bubblewrap")
"""From the weakest."""
HOW_TO_GET = {
    "landlock": "Linux 5.13 or newer on x86_64 or aarch64, with 'landlock' in its lsm= list (kernel command line), and "
    "mount or user namespaces (what bubblewrap needs, too), or contestants see each other in /proc",
    "bubblewrap": "install bubblewrap, and allow user namespaces (sysctl user.max_user_namespaces; on Ubuntu "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container, its own sandbox must allow them)",
}
_TRIAL_SECONDS = 30.0


@dataclass(frozen=True)
class Tier:
    """What this machine has. `missing`: for each better tier, why it isn't that one."""

    name: str
    missing: dict[str, str] = field(default_factory=dict)

    def at_least(self, name: str) -> bool:
        return TIERS.index(self.name) >= TIERS.index(name)


@functools.cache
def probe() -> Tier:
    """The best tier whose self-test passes; takes a fraction of a second, once a process."""
    missing: dict[str, str] = {}
    for name, present, wrapped in (
        ("bubblewrap", bubblewrap.available, bubblewrap.wrap),
        ("landlock", confinement.available, None),
    ):
        why = self_test(wrapped) if confinement.available() and present() else "not on this machine"
        if not why:
            return Tier(name, missing)
        missing[name] = why
    return Tier("none", missing)


def require(minimum: str) -> Tier:
    """This machine's tier, when it is `minimum` or better. Raises RequestError that says how to get it."""
    if minimum not in TIERS:
        raise RequestError("sandbox.unknown_tier", "tier", f"no '{minimum}'", got=minimum, choices=TIERS)
    tier = probe()
    if not tier.at_least(minimum):
        why = tier.missing.get(minimum, "")
        message = f"code from agents needs the sandbox tier '{minimum}', this machine has '{tier.name}' ({why})"
        raise RequestError("sandbox.too_weak", "tier", message, hint=HOW_TO_GET[minimum])
    return tier


def self_test(wrapped: Callable[[list[str], Policy], list[str]] | None = None) -> str:
    """Run the trial, inside what `wrapped` makes of its command line; the ways out that it found, or nothing."""
    with tempfile.TemporaryDirectory(prefix="foundry-trial-") as name, _planted(Path(name)) as (planted, unharmed):
        inside, visible = Path(name) / "inside", Path(name) / "visible"
        policy = Policy(
            read=(visible,),
            write=inside,
            env=passed_on(PYTHONDONTWRITEBYTECODE="1"),
            memory_bytes=1 << 28,
            file_bytes=1 << 20,
            cpu_seconds=20,
        )
        if wrapped is not None:
            planted["namespaces"] = {each: os.readlink(f"/proc/self/ns/{each}") for each in NAMESPACES}
        order = json.dumps({"policy": policy.to_json(), "planted": planted})
        command = [sys.executable, "-P", "-m", "foundry.sandbox.self_test", order]
        return "; ".join(_tried(wrapped(command, policy) if wrapped else command, planted["token"]) + unharmed())


def _tried(command: list[str], token: str) -> list[str]:
    """Run a trial; what it reports."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=_TRIAL_SECONDS,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "FOUNDRY_PLANTED": token},
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        return [f"the self-test took over {_TRIAL_SECONDS:g} s"]
    try:
        first, *more = [json.loads(line)["escapes"] for line in done.stdout.splitlines()]
        return [*first, *(each for report in more for each in report)]
    except (ValueError, KeyError):  # no line at all is a ValueError too
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return [f"the self-test ended with exit code {done.returncode}: {last}"]


def _look_of(file: Path) -> tuple[int, int, int]:
    status = os.stat(file)
    return status.st_mode, status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def _planted(folder: Path) -> Iterator[tuple[dict[str, Any], Callable[[], list[str]]]]:
    """What the trial may try its hand at, and a check, from outside, of what became of it."""
    for name in ("inside", "visible", "outside"):
        (folder / name).mkdir()
    victim = folder / "outside" / "victim"
    victim.write_text("unchanged")
    (folder / "outside" / "secret").write_text("secret")
    before = _look_of(victim)
    unix_name = f"foundry-{secrets.token_hex(8)}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as decoy,
    ):
        unix.bind("\0" + unix_name)
        unix.listen()

        def unharmed() -> list[str]:
            found = []
            for listener in (tcp, unix):
                listener.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    listener.accept()
                    found.append("a connection arrived")
            if not victim.exists() or _look_of(victim) != before:
                found.append("a file outside was changed")
            if sorted(os.listdir(victim.parent)) != ["secret", "victim"]:
                found.append("a folder outside was changed")
            if decoy.poll() is not None:
                found.append("another process was ended")
            return found

        yield (
            {
                "secret": str(folder / "outside" / "secret"),
                "victim": str(victim),
                "port": tcp.getsockname()[1],
                "unix": unix_name,
                "decoy": decoy.pid,
                "token": secrets.token_hex(16),
                "namespaces": {},
            },
            unharmed,
        )
        assert decoy.stdin is not None
        decoy.stdin.close()
