"""Verbs about commands that go on by themselves: start, wait, jobs. They import no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from foundry.core.errors import RequestError
from foundry.documents.underway import Jobs, Started, Waited
from foundry.interface import cli_campaign, cli_code, cli_work, options

VERBS: dict[str, Callable[..., Any]] = {
    "train": cli_work.train,
    "sweep": cli_work.sweep,
    "compare": cli_work.compare,
    "campaign": cli_campaign.campaign,
    "reproduce": cli_campaign.reproduce,
    "check": cli_code.check,
    "sample": cli_work.sample,
}
"""What takes long, and may be done while nobody looks."""
WAIT_SECONDS = 45.0


def register(app: typer.Typer) -> None:
    takes_others = {"ignore_unknown_options": True}  # those of the verb that is started
    app.command("start", rich_help_panel="What goes on", context_settings=takes_others)(options.command(start))
    for verb in (wait, jobs):
        app.command(verb.__name__, rich_help_panel="What goes on")(options.command(verb))


def start(
    words: Annotated[list[str], typer.Argument(metavar="VERB …", help="A verb with its arguments and options.")],
    key: Annotated[
        str | None, typer.Option(help="A name of yours: asked for again with it, it is the same job.")
    ] = None,
) -> Started:
    """Have train, sweep, compare, campaign, reproduce, check or sample done apart from this shell; answers at once. The
    same key, or the same words while it runs, is the same job.

    Examples: foundry start train experiments/baseline.yaml --seed 3 · foundry start campaign --hours 8 --key tonight
    """
    from foundry.interface.jobs import start as verb

    if key is not None and not 0 < len(key) <= 200:
        raise RequestError("usage", "--key", "1 to 200 characters", got=key[:200])
    return verb(parsed(words), key)


def parsed(words: Sequence[str]) -> list[str]:
    """The words of a command that may be started. Raises RequestError for others, and for what its verb can't take."""
    verb, rest = words[0], [word for word in words[1:] if word != "--json"]
    if verb not in VERBS:
        raise RequestError("start.verb", "", f"'{verb:.80}' can't be started so", got=verb, choices=list(VERBS))
    alone = typer.Typer(add_completion=False)
    alone.command(verb, add_help_option=False)(options.command(VERBS[verb]))
    options.parsed(typer.main.get_command(alone), f"foundry {verb}", rest)
    return [verb, *rest]


def wait(
    job: Annotated[str, typer.Argument(help="Its id, the beginning of it, or its key.")],
    seconds: Annotated[float, options.real(0, 1e6, "How long at most.")] = WAIT_SECONDS,
    *,
    display: options.Display,
) -> Waited:
    """Wait for a job's end, or say after a while how far it is. Exit code: the job's own; 0 while it runs,
    1 where it was stopped or lost.

    Examples: foundry wait 3fa9c1d20b77 · foundry wait tonight --seconds 0 --json
    """
    from foundry.interface.jobs import wait as verb

    return verb(job, seconds, display.say)


def jobs(
    limit: options.Limit = 20,
    offset: options.Offset = 0,
) -> Jobs:
    """What was started, the newest first, and what became of it.

    Example: foundry jobs --json
    """
    from foundry.interface.jobs import jobs as verb

    return verb(limit, offset)
