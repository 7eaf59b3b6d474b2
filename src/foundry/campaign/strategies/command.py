"""Ideas from a command of the user's: a script, `claude -p`, `codex exec`.

It reads the question (docs/campaign.md) as JSON on stdin and writes one {"word", "why"} a line. It has so many seconds
and 64 KB, a process group of its own, which is killed when it is done, and of the environment what names a place or a
language, and what `--pass-env` names. May not: believe it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

from foundry.campaign.strategies import Ask
from foundry.campaign.strategies._somebody import Answer, NoAnswer, Somebody
from foundry.core import places
from foundry.core.errors import RequestError

MOST_BYTES = 1 << 16
MOST_STDERR = 2000
LOOK_SECONDS = 0.05
PASSED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")


def make(whom: Ask) -> Somebody:
    """Raises RequestError for a command that isn't there."""
    argv = _argv(whom.command)
    return Somebody("command", f"command:{os.path.basename(argv[0])}", whom, lambda q: _ideas(_run(argv, q, whom)), ALL)


ALL = (float("inf"), float("inf"))


def _argv(command: str) -> list[str]:
    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise RequestError("strategy.command", "--command", str(error), got=command) from None
    if not argv or shutil.which(argv[0], path=os.environ.get("PATH")) is None:
        found = places.root() / argv[0] if argv else places.root()
        message = "may not be executed" if found.is_file() else "no such command"
        hint = f"chmod +x {shlex.quote(argv[0])}" if found.is_file() else "a program and its arguments, without a shell"
        raise RequestError("strategy.command", "--command", message, got=command, hint=hint)
    return argv


def _run(argv: list[str], question: str, whom: Ask) -> str:
    """What the command wrote. Raises NoAnswer."""
    env = {name: os.environ[name] for name in (*PASSED, *whom.pass_env) if name in os.environ}
    with tempfile.TemporaryFile() as given:
        given.write(question.encode())
        given.seek(0)
        try:
            child = subprocess.Popen(
                argv, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=places.root(),
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise NoAnswer(f"it can't be started: {error.strerror}") from None
    try:
        said, complaint = _read(child, time.monotonic() + whom.seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        code = child.wait()
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()
    if code:
        raise NoAnswer(f"it ended with {code}: {' '.join(complaint.split())}".rstrip(": "), said)
    return said


def _read(child: subprocess.Popen[bytes], until: float) -> tuple[str, str]:
    """Its output and the end of its complaints, when it has ended. Raises NoAnswer."""
    assert child.stdout is not None and child.stderr is not None
    said, complaint = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for stream, into in ((child.stdout, said), (child.stderr, complaint)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ, into)
        ended = False
        while True:
            ready = selector.select(0 if ended else LOOK_SECONDS)
            for key, _ in ready:
                if not (chunk := os.read(key.fd, MOST_BYTES)):
                    selector.unregister(key.fileobj)
                key.data.extend(chunk)
            del complaint[:-MOST_STDERR]
            if len(said) > MOST_BYTES:
                raise NoAnswer(f"it wrote more than {MOST_BYTES} bytes", _text(said))
            if time.monotonic() > until:
                raise NoAnswer("it took too long", _text(said))
            if ended and not ready:
                return _text(said), _text(complaint)
            # not reaped: its number is its group's until all of the group is killed
            ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            if not selector.get_map() and not ended:
                time.sleep(LOOK_SECONDS)


def _text(said: bytearray) -> str:
    return said[:MOST_BYTES].decode(errors="backslashreplace")


def _ideas(said: str) -> Answer:
    """A line is an idea; one that is none counts as an idea that doesn't hold."""
    return Answer(said, [_idea(line) for line in said.splitlines() if line.strip()])


def _idea(line: str) -> tuple[str, str]:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict) and isinstance(found.get("word"), str):
            why = found.get("why")
            return found["word"], why if isinstance(why, str) else ""
    return line, ""
