"""Commands about code in the workspace: check, adopt, rebuild."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from foundry.interface import options
from foundry.interface.options import Json
from foundry.interface.terminal import console, emit


def register(app: typer.Typer) -> None:
    for verb in (check, adopt, rebuild):
        app.command(verb.__name__, rich_help_panel="Code")(options.command(verb))


def check(
    file: Annotated[Path, typer.Argument(help="A file in workspace/modules/SLOT/, or workspace/model.py.")],
    progress: options.Progress = None,
    as_json: Json = False,
) -> None:
    """Try a workspace file against its slot's contract and the judge's probes. Exit code 1 when it breaks something.

    Example: foundry check workspace/modules/attention/mine.py
    """
    from foundry.interface.progress import Display
    from foundry.promote.check import check as verb

    with Display(progress, as_json) as display:
        document = verb(file, display.say)
    emit(document) if as_json else _report(document)
    raise typer.Exit(0 if document["ok"] else 1)


def adopt(
    kind: Annotated[str, typer.Argument(help="SLOT:KIND, or KIND where one slot has it.")],
    force: Annotated[bool, typer.Option("--force", help="Also a part that was never promoted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="You have read the source: don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Move a promoted workspace part into the package, after showing its source and what was measured of it.

    Example: foundry adopt attention:mine
    """
    from foundry.core.errors import RequestError
    from foundry.ledger.ledger import Ledger
    from foundry.promote.adopt import adopt as verb
    from foundry.promote.adopt import look

    with Ledger.open() as ledger:
        seen = look(ledger, kind, force)
        if not as_json:
            _to_adopt(seen)
        if not yes and (as_json or not sys.stdin.isatty() or not typer.confirm("Adopt it?")):
            message = f"nothing was moved: {seen['trust']}"
            raise RequestError("adopt.not_agreed", seen["from"], message, hint="read the source, then --yes")
        document = verb(ledger, kind, force, seen["source"])
    emit(document) if as_json else _adopted(document)


def rebuild(
    recipe: Annotated[str, typer.Argument(help="Fingerprint of a recipe, or its beginning.")],
    folder: Annotated[Path, typer.Argument(help="A new folder to write it to.")],
    as_json: Json = False,
) -> None:
    """Write a recorded recipe and the code that it ran with, as they were.

    Example: foundry rebuild 5be0 rebuilt && FOUNDRY_WORKSPACE=rebuilt/workspace foundry train rebuilt/recipe.yaml
    """
    from foundry.ledger.ledger import Ledger
    from foundry.ledger.recorded_code import rebuild as verb

    with Ledger.open() as ledger:
        document = verb(ledger, recipe, folder)
    if as_json:
        emit(document)
    else:
        console.print(f"Wrote {len(document['files'])} files to {folder}.")
        console.print(f"Next: FOUNDRY_WORKSPACE={document['workspace']} foundry train {folder / 'recipe.yaml'}")


def _to_adopt(document: dict[str, Any]) -> None:
    console.print(f"{document['from']}:\n\n{document['source']}")
    for verdict in document["measured"]:
        effect = (
            "" if verdict["effect_bpb"] is None else f", {verdict['effect_bpb']:+.4g} bpb over {verdict['n']} pairs"
        )
        console.print(f"The judge measured: {verdict['verdict']}{effect} ({verdict['report']})")
    if not document["measured"]:
        console.print("The judge measured nothing of it.")
    console.print(f"What you give it: {document['trust']}.")


def _adopted(document: dict[str, Any]) -> None:
    part = f"{document['slot']}:{document['kind']}"
    console.print(f"Moved {document['from']} to {document['to']}.")
    console.print(f"Recipes with {part} have a new identity now; their runs will be new.")
    console.print(f"Next: {document['commit']}")


def _report(document: dict[str, Any]) -> None:
    """The faults, each with what was seen and how to mend it."""
    file, kind = document["file"], f"{document['slot']}:{document['kind']}"
    for fault in document["faults"]:
        line = f":{fault['line']}" if fault["line"] else ""
        console.print(f"{file}{line}: {fault['clause']}")
        for label, text in (
            ("says", " ".join(filter(None, (fault["says"], f"[{fault['contract']}]" if fault["contract"] else "")))),
            ("seen", fault["seen"]),
            ("mend", fault["mend"]),
        ):
            if text:
                console.print(f"  {label}  {text}")
    if document["printed"]:
        console.print(f"it printed: {document['printed']}")
    held, broken = len(document["passed"]), len(document["faults"])
    console.print(
        f"{kind}: {held} clauses hold, {broken} broken ({document['seconds']} s, sandbox: {document['tier']})"
    )
