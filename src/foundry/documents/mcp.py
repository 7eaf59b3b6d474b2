"""Of Foundry as a tool of agents: what `mcp` says of itself, and what its tools answer that no command does."""

from __future__ import annotations

from foundry.documents.document import Document, Ours


class McpServed(Document):
    """Where it answers; read_only: whether it offers nothing that changes anything."""

    url: str
    host: str
    port: int
    read_only: bool


class McpConfig(Document):
    """How a client is told of this project's server: text, for `file` of the client's, or to be typed where that is
    null."""

    client: str
    file: str | None
    text: Ours


class PartWritten(Document):
    """A part that was written into the workspace. hash: of its source, which replaces it; replaced: whether another
    source stood there."""

    file: str
    slot: str
    kind: str
    hash: str
    bytes: int
    replaced: bool


class StartableOption(Document):
    """An option of a verb that `start` takes: type and default in words, and whether it is given without its name."""

    name: str
    takes: Ours
    default: Ours | None
    positional: bool
    what: Ours


class Startable(Document):
    verb: str
    what: Ours
    options: tuple[StartableOption, ...]


class Startables(Document):
    verbs: tuple[Startable, ...]
