"""Verbs that show the ledger elsewhere, as a page or in a tracker: report, serve, track. They import no torch."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from foundry.core.errors import FoundryError
from foundry.documents.page import Reported
from foundry.documents.underway import Tracked
from foundry.interface import options
from foundry.interface.terminal import console, shown

Campaign = Annotated[
    str | None, typer.Option(help="Its baseline file. Default: experiments/baseline.yaml's, or else the latest.")
]


def register(app: typer.Typer) -> None:
    for verb in (report, serve, track):
        app.command(verb.__name__, rich_help_panel="Look")(options.command(verb))


def report(
    campaign: Campaign = None,
    html: Annotated[Path | None, typer.Option(help="Where to write it; default: runs/report.html.")] = None,
    card: Annotated[Path | None, typer.Option(help="A PNG to share as well; needs the extra plot.")] = None,
) -> Reported:
    """Write what the ledger knows as one HTML file, which opens in a browser without a server or a network.

    Examples: foundry report · foundry report --html monday.html --card monday.png
    """
    from foundry.interface.web.report import report as verb

    return verb(campaign, html, card)


def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port, or the next free one; 0: any.")] = 8776,
    host: Annotated[
        str, typer.Option(help="Its address; any but this machine's own needs --token-file.")
    ] = "127.0.0.1",
    token_file: Annotated[Path | None, typer.Option(help="Who looks must know the token in this file.")] = None,
    campaign: Campaign = None,
    *,
    person: options.Person,
) -> None:
    """Show the same page live in a browser while others work on the ledger; it only reads. Ctrl-C ends it.

    Examples: foundry serve · foundry serve --port 9000 --campaign experiments/baseline.yaml
    """
    from foundry.documents.page import Served
    from foundry.interface.web.serve import serve as verb

    def told(document: Served, moved: str) -> None:
        if moved:
            sys.stderr.write(f"{moved}: this is {document.port}\n")
        person.sees(document)

    with contextlib.suppress(KeyboardInterrupt):  # how it is ended
        verb(host, port, token_file, campaign, told)


def track(
    tracker: Annotated[
        Literal["tensorboard", "wandb", "trackio", "mlflow"], typer.Argument(help="Each needs its extra, track-….")
    ],
    into: Annotated[Path | None, typer.Option(help="The folder to write to; default: runs/track/TRACKER.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes, until Ctrl-C.")] = False,
    *,
    display: options.Display,
) -> Tracked:
    """Send what runs have left to a tracker: losses, recipes, scores, what became of them. What was sent is sent once.

    Examples: foundry track tensorboard · foundry track wandb --into wandb --follow
    """
    from foundry.interface.track.export import track as verb

    return verb(tracker, into, follow, display.say)


def leave(given: dict[str, Any], as_json: bool, progress: str | None) -> None:
    """Write the report after a command's work on a baseline, and say where it is. What keeps it from being written
    costs a line on stderr, never the work."""
    try:
        from foundry.core import places
        from foundry.interface.web.report import report as verb

        baseline: Path = given["baseline"]
        campaign = places.track(baseline) if baseline != Path() else None
        try:
            written = verb(campaign)
        except FoundryError as error:
            if error.code != "page.unknown_campaign":
                raise
            written = verb(None)
        if as_json and progress in (None, "json"):
            sys.stderr.write(json.dumps({"say": f"page: {written.html}"}) + "\n")
        elif not as_json:
            console.print(f"Page: {written.html}")
    except FoundryError as error:
        sys.stderr.write(f"the report was not written: {shown(str(error))}\n")
    except Exception as error:  # whatever it is, the work is done
        sys.stderr.write(f"the report was not written: {shown(' '.join(f'{type(error).__name__}: {error}'.split()))}\n")
