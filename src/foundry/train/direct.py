"""Training without the pool: in this process, or in each of torchrun's.

    torchrun --nproc-per-node 2 -m foundry.train.direct payload.json

prints the result of `train.worker.main` as one JSON line from rank 0. May not: touch the ledger.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from foundry.core.errors import FoundryError, RequestError, RunFailure


class Line(Protocol):
    """What connects a worker with whoever started it."""

    @property
    def stopping(self) -> bool:
        """True once the worker was asked to save and return."""
        ...

    def tell(self, **facts: Any) -> None:
        """Report progress; also the sign of life."""
        ...


class LocalLine:
    """A line to the caller itself: `told` gets each report, `stop` asks to stop."""

    def __init__(self, told: Callable[[dict[str, Any]], object] | None = None) -> None:
        self.stopping = False
        self._told = told

    def tell(self, **facts: Any) -> None:
        if self._told is not None:
            self._told(facts)

    def stop(self) -> None:
        self.stopping = True

    def heed_signals(self) -> None:
        """From now on SIGTERM and Ctrl-C ask to stop; a second Ctrl-C interrupts at once. Only in the main thread."""

        def heed(number: int, frame: FrameType | None) -> None:
            if self.stopping and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stopping = True

        signal.signal(signal.SIGTERM, heed)
        signal.signal(signal.SIGINT, heed)


def main(arguments: list[str]) -> int:
    """Train the payload in the JSON file named; exit codes as everywhere: 0 done, 1 failed, 2 refused."""
    from foundry.train import worker
    from foundry.train.distributed import World

    line = LocalLine()
    line.heed_signals()
    try:
        result = worker.main(_payload(arguments), line)
    except (FoundryError, RunFailure) as error:
        print(error, file=sys.stderr)
        return error.exit_code if isinstance(error, FoundryError) else 1
    if World.from_torchrun().rank == 0:
        print(json.dumps(result))
    return 0


def _payload(arguments: list[str]) -> dict[str, Any]:
    if len(arguments) != 1:
        raise RequestError("train.no_payload", "", "name one file", hint="python -m foundry.train.direct payload.json")
    try:
        return json.loads(Path(arguments[0]).read_text())
    except (OSError, ValueError) as error:
        raise RequestError("train.bad_payload", arguments[0], str(error)) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
