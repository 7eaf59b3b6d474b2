"""What a client can read without a call: recipes, runs and reports as resources, the skill as a prompt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files

import anyio.to_thread
from mcp.server.mcpserver.exceptions import ResourceNotFoundError

from foundry.core.errors import FoundryError
from foundry.interface.api import Project
from foundry.interface.mcp.server import Server, as_text

KINDS = {"recipe": "recipe", "run": "run", "report": "comparison"}
"""Resource → kind of what `show` shows."""


def register(server: Server, project: Project) -> None:
    for name, kind in KINDS.items():
        server.resource(
            f"foundry://{name}/{{ref}}",
            name=name,
            description=f"All that is known of a {kind}; ref: its id, or the beginning of it.",
            mime_type="application/json",
        )(_reader(project, kind))

    @server.prompt(name="research-loop", description="How to work with Foundry: the loop, and what its answers mean.")
    def research_loop() -> str:
        return files("foundry").joinpath("skill", "SKILL.md").read_text(encoding="utf-8")


def _reader(project: Project, kind: str) -> Callable[[str], Awaitable[str]]:
    async def read(ref: str) -> str:
        try:
            shown = await anyio.to_thread.run_sync(partial(project.show, ref))
        except FoundryError as error:
            raise ResourceNotFoundError(str(error)) from error
        values = shown.to_dict()
        if values["kind"] != kind:
            raise ResourceNotFoundError(f"{ref} is a {values['kind']}, no {kind}")
        return as_text(values)

    return read
