"""What people read of the page: where it is. May not: compute."""

from __future__ import annotations

from foundry.documents import mcp, page
from foundry.interface.terminal import console


def reported(document: page.Reported) -> None:
    rows = f"{document.candidates:,}" if document.candidates < document.candidates_of else "all"
    console.print(
        f"Wrote {document.html}: {document.runs:,} runs of {document.campaign}, {rows} of {document.candidates_of:,} "
        f"candidates, {document.bytes / 1e3:,.0f} kB."
    )
    if document.card:
        console.print(f"Wrote {document.card}.")


def served(document: page.Served) -> None:
    console.print(f"The page: {document.url}   (Ctrl-C ends it)")


def mcp_served(document: mcp.McpServed) -> None:
    what = "; it changes nothing" if document.read_only else ""
    console.print(f"MCP: {document.url}{what}   (Ctrl-C ends it)")
