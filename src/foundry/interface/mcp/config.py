"""How clients are told of this project's server: what each reads, as text. May not: write it there."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Literal

from foundry.documents.mcp import McpConfig

Client = Literal["claude", "codex", "cursor", "vscode"]
FILES = {"claude": None, "codex": "~/.codex/config.toml", "cursor": ".cursor/mcp.json", "vscode": ".vscode/mcp.json"}
START_SECONDS, CALL_SECONDS = 30, 60
"""For a client that gives up sooner by itself: a busy machine's start, and more than any call lasts."""


def config(client: Client, folder: Path, read_only: bool) -> McpConfig:
    script = Path(sys.executable).with_name("foundry")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "foundry"]
    command, *words = [*program, "mcp", "--project", str(folder), *(["--read-only"] if read_only else [])]
    match client:
        case "claude":
            text = f"claude mcp add foundry -- {shlex.join([command, *words])}"
        case "codex":
            lines = {"command": command, "args": words, "startup_timeout_sec": START_SECONDS}
            lines |= {"tool_timeout_sec": CALL_SECONDS}
            text = "\n".join(
                ["[mcp_servers.foundry]", *(f"{key} = {json.dumps(value)}" for key, value in lines.items())]
            )
        case "cursor":
            text = json.dumps({"mcpServers": {"foundry": {"command": command, "args": words}}}, indent=2)
        case "vscode":
            text = json.dumps({"servers": {"foundry": {"type": "stdio", "command": command, "args": words}}}, indent=2)
    return McpConfig(client=client, file=FILES[client], text=text)
