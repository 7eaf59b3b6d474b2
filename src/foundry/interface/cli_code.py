"""Verbs about code in the workspace: check, adopt, rebuild."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foundry.documents import recipes
from foundry.interface import options


def register(app: typer.Typer) -> None:
    for verb in (check, adopt, rebuild):
        app.command(verb.__name__, rich_help_panel="Code")(options.command(verb))


def check(
    file: Annotated[Path, typer.Argument(help="A file in workspace/modules/SLOT/, or workspace/model.py.")],
    *,
    display: options.Display,
) -> recipes.Checked:
    """Try a workspace file against its slot's contract and the judge's probes. Exit code 1 when it breaks something.

    Example: foundry check workspace/modules/attention/mine.py
    """
    from foundry.promote.check import check as verb

    return verb(file, display.say)


def adopt(
    kind: Annotated[str, typer.Argument(help="SLOT:KIND, or KIND where one slot has it.")],
    force: Annotated[bool, typer.Option("--force", help="Also a part that was never promoted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="You have read the source: don't ask.")] = False,
    *,
    person: options.Person,
) -> recipes.Adopted:
    """Move a promoted workspace part into the package, after showing its source and what was measured of it.

    Example: foundry adopt attention:mine
    """
    from foundry.core.errors import RequestError
    from foundry.ledger.ledger import Ledger
    from foundry.promote.adopt import adopt as verb
    from foundry.promote.adopt import look

    with Ledger.open() as ledger:
        seen = look(ledger, kind, force)
        if not person.agrees(seen, yes):
            message = f"nothing was moved: {seen.trust}"
            raise RequestError("adopt.not_agreed", seen.from_, message, hint="read the source, then --yes")
        return verb(ledger, kind, force, seen.source)


def rebuild(
    recipe: Annotated[str, typer.Argument(help="Fingerprint of a recipe, or its beginning.")],
    folder: Annotated[Path, typer.Argument(help="A new folder to write it to.")],
) -> recipes.Rebuilt:
    """Write a recorded recipe and the code that it ran with, as they were.

    Example: foundry rebuild 5be0 rebuilt && FOUNDRY_WORKSPACE=rebuilt/workspace foundry train rebuilt/recipe.yaml
    """
    from foundry.ledger.ledger import Ledger
    from foundry.ledger.recorded_code import rebuild as verb

    with Ledger.open() as ledger:
        return verb(ledger, recipe, folder)
