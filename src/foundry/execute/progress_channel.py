"""What a worker's target sees of its controller: `tell` reports progress, `stopping` says when to save and return.

May not: carry results (those are what the target returns), or be used by two threads.
"""

from __future__ import annotations

import select
from typing import Any, final

from foundry.execute.json_socket import Wire


@final
class Line:
    """The worker's end."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._stopping = False
        self._room = select.poll()
        self._room.register(wire.socket, select.POLLOUT)

    @property
    def stopping(self) -> bool:
        """True once the controller asked the worker to stop."""
        return self._stopping

    def stop(self) -> None:
        """Ask the target to save what it has and return."""
        self._stopping = True

    def tell(self, **facts: Any) -> None:
        """Report progress; counts as a heartbeat. Costs microseconds and never waits: while the controller is too busy
        to listen, reports are dropped. Raises ValueError or TypeError for what isn't JSON."""
        if self._room.poll(0):
            self._wire.send({"tell": facts})
