"""Who may ask a server of ours, and where it listens: this machine, at this address; from elsewhere with a token only.
The live page answers a browser's GET, and no other.

A name that an attacker lets point here (DNS rebinding) is known by the Host it comes with, another site's script by its
Origin. May not: know what is shown.
"""

from __future__ import annotations

import errno
import hmac
import ipaddress
import os
import socket
import stat
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple, final
from urllib.parse import parse_qs

from foundry.core.errors import RequestError, WorkError
from foundry.interface.web.page import policy

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
COOKIE = "foundry"
SHORTEST_TOKEN = 16


class Address(NamedTuple):
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self._written}:{self.port}/"

    @property
    def _written(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def is_meant_by(self, host: str) -> bool:
        """Whether a Host header names this server: the address it was bound to, or one of this machine's that nobody
        can let point elsewhere, written in digits."""
        name, colon, port = host.rpartition(":")
        if not colon or "]" in port:
            name, port = host, "80"
        if port != str(self.port):
            return False
        name = name.strip("[]").lower()
        if is_loopback(self.host):
            return name in {self.host, "127.0.0.1", "localhost", "::1"}
        return name in {self.host, socket.gethostname().lower()} or _is_digits(name)


def is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_digits(host) and ipaddress.ip_address(host).is_loopback)


def _is_digits(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def listening(host: str, port: int, ports: int, option: str) -> socket.socket:
    """A socket on the first free port of so many from `port` on; 0: any. Raises RequestError for an address that isn't
    there, WorkError where all are in use; both name the option that was given."""
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise RequestError("serve.no_host", option, f"no such address: {error.strerror}", got=host) from None
    for each in range(port, min(port + ports, 65536)) if port else (0,):
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was killed leaves its port waiting
        try:
            made.bind((where[0], each, *where[2:]))
            made.listen(128)
            return made
        except OSError as error:
            made.close()
            if error.errno != errno.EADDRINUSE:
                raise RequestError("serve.no_port", option, str(error.strerror), got=f"{host}:{each}") from None
    busy = f"port {port} is in use" if ports == 1 else f"{ports} ports from {port} on are in use"
    raise WorkError("serve.no_port", option, busy, hint="name another")


def read_token(path: Path) -> str:
    """The token in a file that only its owner may read. Raises RequestError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        message = f"can't be read: {error.strerror}"
        raise RequestError("serve.no_token", str(path), message, hint="a file with the token in it") from None
    with os.fdopen(handle) as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
            hint = f"chmod 600 {path}"
            raise RequestError("serve.open_token", str(path), "others may read the token's file", hint=hint)
        token = file.read(4096).strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        hint = "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        message = f"a token is {SHORTEST_TOKEN} or more plain characters"
        raise RequestError("serve.weak_token", str(path), message, hint=hint)
    return token


@final
class Guard:
    """An ASGI app in front of another: refuses with 421, 403, 405 or 401; adds the headers of every answer.

    page: whether it is for browsers, which only look and keep the token in a cookie; else for programs, which bring it
    each time."""

    def __init__(self, app: App, address: Address, token: str | None = None, *, page: bool = True) -> None:
        self._app, self._address, self._token, self._page = app, address, token, page

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status, text, more = self._refusal(scope, headers)
        if status:
            start = [*_headers(), *more, (b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": status, "headers": start})
            await send({"type": "http.response.body", "body": f"{text}\n".encode()})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_headers()]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _refusal(self, scope: Message, headers: dict[str, str]) -> tuple[int, str, list[tuple[bytes, bytes]]]:
        if not self._address.is_meant_by(headers.get("host", "")):
            return 421, "this server isn't of that name", []
        origin = headers.get("origin")
        if origin is not None and not (
            origin.startswith("http://") and self._address.is_meant_by(origin.removeprefix("http://"))
        ):
            return 403, "another site may not ask", []
        if self._page and scope["method"] != "GET":
            return 405, "there is nothing here but to look at", [(b"allow", b"GET")]
        if self._token is None or self._knows(headers):
            return 0, "", []
        if not self._page:
            return 401, "this server wants its token: Authorization: Bearer …", [(b"www-authenticate", b"Bearer")]
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and self._is_token(given):
            kept = f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            return 303, "", [(b"location", b"/"), (b"set-cookie", kept.encode())]
        return 401, "this page wants its token: open /?token=…", []

    def _knows(self, headers: dict[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE) if self._page else None
        except CookieError:
            cookie = None
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        return self._is_token(bearer) or (cookie is not None and self._is_token(cookie.value))

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), (self._token or "").encode())


def _headers() -> list[tuple[bytes, bytes]]:
    made = {
        "content-security-policy": f"{policy(live=True)}; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
    }
    return [(name.encode(), value.encode()) for name, value in made.items()]
