"""Sends what it has to a server. target: the server's port."""

from __future__ import annotations

import contextlib
import socket


def attack(target: str) -> None:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(target)), timeout=1) as line:
        line.sendall(b"weights")
