"""Something done by a process that is confined, for tests of what that holds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from foundry import sandbox
from foundry.sandbox.policy import Policy


def confined(policy: Policy, act: Callable[[], object]) -> str:
    """What `act` returns or raises in a forked process that is confined first; `signal N` when one ended it."""
    answers, asks = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            try:
                sandbox.confine(policy)
                answer = repr(act())
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
            os.write(asks, answer.encode()[:4000])
        os._exit(0)
    os.close(asks)
    with os.fdopen(answers, "rb") as file:
        answer = file.read().decode()
    _, status = os.waitpid(pid, 0)
    return answer if os.WIFEXITED(status) else f"signal {os.WTERMSIG(status)}"
