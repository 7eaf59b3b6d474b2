"""Where the MCP server is made and listens: on stdin and stdout, or over HTTP behind the guard that the live page has.
Imports no torch: what needs it is a job's, or is imported when it is first called. May not: hold logic of a verb.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

from foundry import __version__
from foundry.core.errors import RequestError
from foundry.documents.mcp import McpServed
from foundry.interface.api import Project
from foundry.interface.mcp import texts, tools, work
from foundry.interface.mcp.server import INSTRUCTIONS, Server
from foundry.interface.web.guard import Address, Guard, is_loopback, listening, read_token

PATH = "/mcp"


def made(project: Project, read_only: bool) -> Server:
    server = Server("foundry", title="Foundry", instructions=INSTRUCTIONS, version=__version__, log_level="ERROR")
    tools.register(server, project)
    texts.register(server, project)
    if not read_only:
        work.register(server, project)
    return server


def serve(
    folder: Path, http: str | None, token_file: Path | None, read_only: bool, told: Callable[[McpServed], None]
) -> None:
    """Serve until the client leaves (stdio), or until interrupted; `told` hears where, over HTTP.

    Raises RequestError, before anything is answered, for what is no folder, and for an address that may not be used."""
    project = Project(folder)
    if http is None:
        if token_file is not None:
            raise RequestError("usage", "--token-file", "a token is HTTP's", hint="add --http 127.0.0.1:8777")
        if not _are_files(sys.stdin, sys.stdout):
            hint = "an agent's client starts this and talks to it: foundry mcp --print-config claude"
            raise RequestError("mcp.no_client", "", "stdin or stdout is closed", hint=hint)
        made(project, read_only).run("stdio")
        return
    host, port = _parsed(http)
    if not is_loopback(host) and token_file is None:
        hint = "give --token-file FILE, or stay on 127.0.0.1 and use ssh -L"
        raise RequestError("mcp.not_loopback", "--http", "others could work from there", got=http, hint=hint)
    token = read_token(token_file) if token_file is not None else None
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    with listening(host, port, 1, "--http") as bound:
        address = Address(host.lower(), bound.getsockname()[1])
        unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)  # the guard has looked
        app = made(project, read_only).streamable_http_app(streamable_http_path=PATH, transport_security=unchecked)
        guard = Guard(cast(Any, app), address, token, page=False)
        config = uvicorn.Config(
            cast(Any, guard), log_config=None, access_log=False, lifespan="on", server_header=False,
            proxy_headers=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        told(McpServed(url=f"{address.url[:-1]}{PATH}", host=host, port=address.port, read_only=read_only))
        uvicorn.Server(config).run(sockets=[bound])


def _are_files(*streams: TextIO | None) -> bool:
    try:
        return all(stream is not None and stream.fileno() >= 0 for stream in streams)
    except (OSError, ValueError):
        return False


def _parsed(http: str) -> tuple[str, int]:
    host, colon, port = http.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise RequestError("usage", "--http", "takes HOST:PORT", got=http, hint="such as 127.0.0.1:8777")
    return host.strip("[]"), int(port)
