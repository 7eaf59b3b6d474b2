"""JSON messages between processes, a line each over a stream. Knows no message's meaning."""

from __future__ import annotations

import json
import socket
from typing import Any, final

MAX_LINE_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 16
_CHUNKS_AT_ONCE = 64  # more than a socket holds, and an end to a sender that never stops


@final
class Wire:
    """One end. Sending blocks until the message is with the kernel; receiving never blocks."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.open = True
        self._rest = b""

    def send(self, message: dict[str, Any]) -> None:
        """Raises ValueError or TypeError for what isn't JSON (NaN isn't), OSError when nobody listens any more."""
        self.socket.sendall(encode(message) + b"\n")

    def receive(self) -> list[dict[str, Any]]:
        """The whole messages that have arrived; `open` turns False at the end of the stream.

        Raises ValueError for a line that isn't a message."""
        chunks = [self._rest]
        while self.open and len(chunks) <= _CHUNKS_AT_ONCE:
            try:
                chunk = self.socket.recv(_CHUNK_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except ConnectionError:
                chunk = b""
            self.open = bool(chunk)
            chunks.append(chunk)
        *lines, self._rest = b"".join(chunks).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise ValueError(f"a message of more than {MAX_LINE_BYTES} bytes")
        return [decode(line) for line in lines]

    def close(self) -> None:
        self.open = False
        self.socket.close()


def encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode()


def decode(line: bytes) -> dict[str, Any]:
    """Raises ValueError for anything but a JSON object of finite numbers."""
    message = json.loads(line, parse_constant=_refuse)
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")
    return message


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a finite number")
