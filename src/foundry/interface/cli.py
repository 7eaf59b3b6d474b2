"""The command line: `foundry VERB …`. A skin: parses, calls one verb, prints its report or its JSON.

Nothing heavy is imported before a verb needs it. Errors are one line and never a traceback.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from foundry import __version__
from foundry.core import places
from foundry.core.errors import FoundryError, WorkError
from foundry.documents.failure import Failure
from foundry.interface import (
    cli_campaign,
    cli_code,
    cli_init,
    cli_jobs,
    cli_mcp,
    cli_models,
    cli_page,
    cli_read,
    cli_underway,
    cli_work,
    options,
)
from foundry.interface.terminal import emit, guarded
from foundry.ledger import stops

app = typer.Typer(
    name="foundry",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="mutate → train → compare → promote → iterate: training recipes that get better, with verdicts that hold.",
    epilog="Start with: foundry init",
)
cli_init.register(app)
cli_work.register(app)
cli_campaign.register(app)
cli_read.register(app)
cli_page.register(app)
cli_jobs.register(app)
cli_mcp.register(app)
cli_underway.register(app)
cli_models.register(app)
cli_code.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"{__version__}\n")
        raise typer.Exit()


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
    ),
) -> None: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 the work failed, 2 the request was wrong, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup's wish is kept
            signal.signal(number, _interrupt)
    with guarded() as out:
        code = _run(arguments, "--json" in arguments)
        out.flush()
        if out.lost and out.lost != os.strerror(errno.EPIPE):  # a reader like `head` that left is no failure
            sys.stderr.write(f"[os.stdout] what was to be printed is lost: {out.lost}; the work is kept\n")
            code = code or 1
        return code


def _run(arguments: list[str], as_json: bool) -> int:
    try:
        result = typer.main.get_command(app).main(args=arguments, prog_name="foundry", standalone_mode=False)
        if result == 130:  # how typer says that Ctrl-C was pressed
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except FoundryError as error:
        return _fail(error, as_json)
    except TyperException as error:
        return _usage(error, as_json)
    except (KeyboardInterrupt, typer.Abort):
        by = stops.asked()
        message = f"stopped by {by}" if by else "interrupted"
        _fail(WorkError("interrupted", "", message, hint="the same command goes on from here"), as_json)
        return 130
    except (MemoryError, OSError) as error:
        return _fail(places.refused(error), as_json)
    except Exception as error:
        if os.environ.get("FOUNDRY_DEBUG"):
            raise
        where = f"{type(error).__name__}: {error}"
        hint = "not your doing, it seems; FOUNDRY_DEBUG=1 shows where"
        return _fail(WorkError("internal.error", "", where, hint=hint), as_json)


def _usage(error: TyperException, as_json: bool) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        context = getattr(error, "ctx", None)
        sys.stdout.write(f"{context.get_help() if context else app.info.help}\n")
        return 0
    return _fail(options.complaint(error), as_json)


def _fail(error: FoundryError, as_json: bool) -> int:
    if as_json:
        emit(Failure.of(error))
    sys.stderr.write(f"{error}\n")
    return error.exit_code


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt
