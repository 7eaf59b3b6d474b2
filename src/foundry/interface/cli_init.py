"""The verb that starts a project: init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foundry.documents.recipes import Initialized
from foundry.interface import options
from foundry.starter import CORPUS


def register(app: typer.Typer) -> None:
    app.command("init", rich_help_panel="The loop")(options.command(init))


def init(
    folder: Annotated[Path, typer.Argument(help="Where; made if it isn't there.")] = Path(),
    corpus: Annotated[
        str, typer.Option(help="What its recipes train on: builtin:NAME (networkx, python, shakespeare), file:PATH.")
    ] = CORPUS,
) -> Initialized:
    """Start a project: recipes to improve, a workspace, a README. Overwrites nothing.

    Examples: foundry init · foundry init my-project --corpus "file:texts/*.jsonl"
    """
    from foundry.starter import init as verb

    return verb(folder, corpus)
