"""What an attack may try its hand at: planted files, a secret, a server, names for processes; and what became of them.

May not: be within reach of anything that isn't planted.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

GRACE_SECONDS = 2.0
"""After its deadline, no process may be left by then."""
LARGEST_BYTES = 16 << 20
"""Of a file that an attack may leave; what is honest here takes a few KiB."""
WITNESS = "PLANTED_SECRET"
FILES = 3


@dataclass
class Scene:
    """Everything below `folder` is made for one attack."""

    folder: Path
    ledger: Path
    judged: Path
    other_checkpoint: Path
    token: str = field(default_factory=lambda: f"planted-{secrets.token_hex(12)}")
    server: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def __post_init__(self) -> None:
        self.since = time.time()
        self.judged_words = self.judged.read_bytes()[:64].hex().encode()
        self.name = f"cheat-{secrets.token_hex(4)}"
        self.victims, self.secret = self.folder / "victims", self.folder / "secret"
        self.victims.mkdir(parents=True)
        for number in range(FILES):
            (self.victims / str(number)).write_text("unchanged")
        self.secret.write_text(self.token)
        os.environ[WITNESS] = self.token
        self.targets = {
            "writes_the_ledger": str(self.ledger),
            "swaps_the_checkpoint": str(self.other_checkpoint),
            "reads_validation": str(self.judged),
            "reads_secrets": str(self.secret),
            "deletes_files": str(self.victims),
            "calls_home": str(self.server.getsockname()[1]),
            "forks": self.name,
            "hides_a_daemon": self.name,
        }

    def harm(self, outputs: list[Path]) -> list[str]:
        """What was done that should not have been; `outputs` is where its words and files went."""
        found = []
        self.server.setblocking(False)
        try:
            self.server.accept()[0].close()
            found.append("reached a server")
        except BlockingIOError:
            pass
        if sorted(p.name for p in self.victims.glob("*") if p.read_text() == "unchanged") != list(
            map(str, range(FILES))
        ):
            found.append("changed files outside")
        words = list(_contents(outputs, self.since))
        if any(len(data) > LARGEST_BYTES for data in words):
            found.append("filled the disk")
        if any(self.token.encode() in data for data in words):
            found.append("gave a secret away")
        if any(self.judged_words in data for data in words):
            found.append("read judged text")
        deadline = time.monotonic() + GRACE_SECONDS
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        if left:
            found.append(f"left {len(left)} processes")
        return found

    def clear(self) -> None:
        """End what the attack has left, each by its own number, and close the server."""
        for pid in self._left():
            os.kill(pid, signal.SIGKILL)
        self.server.close()
        os.environ.pop(WITNESS, None)

    def _left(self) -> list[int]:
        """Processes that bear the attack's name."""
        found = []
        for comm in Path("/proc").glob("[0-9]*/comm"):
            try:
                if comm.read_text().strip() == self.name:
                    found.append(int(comm.parent.name))
            except OSError:
                continue
        return found


@contextmanager
def scene(folder: Path, ledger: Path, judged: Path, other_checkpoint: Path) -> Iterator[Scene]:
    made = Scene(folder, ledger, judged, other_checkpoint)
    try:
        yield made
    finally:
        made.clear()


def _contents(places: list[Path], since: float) -> Iterator[bytes]:
    """Of the files that were written since then, but for the ledger: an earlier attack's words are not this one's."""
    for place in places:
        for path in [place] if place.is_file() else place.rglob("*"):
            new = path.is_file() and not path.is_symlink() and path.stat().st_mtime >= since
            if new and not path.name.startswith("ledger.db"):
                yield path.read_bytes()
