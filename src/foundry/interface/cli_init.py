"""The command that starts a project: init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foundry.interface import options
from foundry.interface.answer import answer
from foundry.interface.options import Json
from foundry.starter import CORPUS


def register(app: typer.Typer) -> None:
    app.command("init", rich_help_panel="The loop")(options.command(init))


def init(
    folder: Annotated[Path, typer.Argument(help="Where; made if it isn't there.")] = Path(),
    corpus: Annotated[
        str, typer.Option(help="What its recipes train on: builtin:NAME (networkx, python, shakespeare), file:PATH.")
    ] = CORPUS,
    as_json: Json = False,
) -> None:
    """Start a project: recipes to improve, a workspace, a README. Overwrites nothing.

    Examples: foundry init · foundry init my-project --corpus "file:texts/*.jsonl"
    """
    from foundry.starter import init as verb

    answer(verb(folder, corpus), as_json)
