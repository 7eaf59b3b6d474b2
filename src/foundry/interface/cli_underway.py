"""Verbs about what goes on and what it leaves: ps, stop, clean, curve. They import no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from foundry.documents.underway import Cleaned, Curves, Stopped, Underway
from foundry.interface import options


def register(app: typer.Typer) -> None:
    for verb in (ps, stop, clean, curve):
        app.command(verb.__name__, rich_help_panel="What goes on")(options.command(verb))


def ps() -> Underway:
    """What runs now on this ledger: since when, how long it will take, by whom.

    Example: foundry ps --json
    """
    from foundry.interface.underway import ps as verb

    return verb()


def stop(
    what: Annotated[
        str | None,
        typer.Argument(help="A job, a campaign's baseline file, a run's id or a process. Default: all there is."),
    ] = None,
    who: Annotated[str, typer.Option(help="Who stops it, which it says at its end; default: the user.")] = "",
) -> Stopped:
    """Stop a command from another shell: it saves and ends as by Ctrl-C, and the same command goes on. A run is stopped
    with the command that it belongs to.

    Examples: foundry stop · foundry stop experiments/baseline.yaml · foundry stop 3fa9c1
    """
    from foundry.interface.underway import stop as verb

    return verb(what, who)


def clean(
    keep: Annotated[
        Literal["champions", "certified", "all"],
        typer.Option(
            help="What stays: a run of each champion; all that was certified; all that the standing rule keeps."
        ),
    ] = "certified",
    older: Annotated[str, typer.Option(help="Only of runs that ended so long ago: 7d, 12h, 30m; 0: any.")] = "7d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
) -> Cleaned:
    """Remove weights that nobody needs. Scores and recipes stay, and `train RUN --weights` makes weights again.

    Examples: foundry clean --dry-run · foundry clean --keep champions --older 0
    """
    from foundry.ledger.clean import clean as verb

    return verb(keep, older, dry_run)


def curve(
    runs: Annotated[list[str], typer.Argument(help="Ids of runs, or their beginnings.")],
    png: Annotated[Path | None, typer.Option(help="A picture to write as well; needs the extra plot.")] = None,
) -> Curves:
    """Draw the training curves of runs in the terminal.

    Examples: foundry curve 3fa9c1 · foundry curve 3fa9c1 5be0aa --png curves.png
    """
    from foundry.interface.underway import curve as verb

    return verb(runs, png)
