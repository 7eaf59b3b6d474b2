"""The verb for agents: mcp. It imports no torch."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from typing import Annotated, Literal

import typer

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.documents.mcp import McpConfig
from foundry.interface import options


def register(app: typer.Typer) -> None:
    app.command("mcp", rich_help_panel="What goes on")(options.command(mcp))


def mcp(
    project: Annotated[Path | None, typer.Option(help="Its folder; default: where it is started.")] = None,
    http: Annotated[str | None, typer.Option(help="HOST:PORT to serve over HTTP; default: stdin and stdout.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="With --http: who asks must know the token in this file.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Offer nothing that changes anything.")] = False,
    print_config: Annotated[
        Literal["claude", "codex", "cursor", "vscode"] | None,
        typer.Option(help="Print how that client is told of this server, and serve nothing."),
    ] = None,
    *,
    person: options.Person,
) -> McpConfig | None:
    """Give an agent Foundry's verbs as tools, over the Model Context Protocol; needs the extra mcp.

    Examples: foundry mcp --print-config claude · foundry mcp --project ~/lm · foundry mcp --http 127.0.0.1:8777
    """
    folder = places.root().absolute() if project is None else project.expanduser().absolute()
    from foundry.interface.api import Project

    if print_config is not None:
        from foundry.interface.mcp.config import config

        return config(print_config, Project(folder).folder, read_only)
    Project(folder)  # what is no folder is said before anything else is loaded
    if not importlib.util.find_spec("mcp"):
        hint = "pip install 'foundry-train[mcp]'"
        raise RequestError("mcp.no_sdk", "", "this needs the SDK of the Model Context Protocol", hint=hint)
    from foundry.interface.mcp.serving import serve

    with contextlib.suppress(KeyboardInterrupt):  # how it is ended
        serve(folder, http, token_file, read_only, person.sees)
    return None
