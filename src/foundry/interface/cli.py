"""The command line: `foundry VERB …`. A skin: parses, calls one verb, prints its report or its JSON.

Nothing heavy is imported before a verb needs it. Errors are one line and never a traceback.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.exceptions import TyperException

from foundry import __version__
from foundry.core.errors import FoundryError, nearest
from foundry.interface import cli_campaign, cli_code, cli_read, cli_work

app = typer.Typer(
    name="foundry",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="mutate → train → compare → promote → iterate: training recipes that get better, with verdicts that hold.",
    epilog="Start with: foundry sweep position rope alibi --promote",
)
cli_work.register(app)
cli_campaign.register(app)
cli_read.register(app)
cli_code.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
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
    as_json = "--json" in arguments
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = typer.main.get_command(app).main(args=arguments, prog_name="foundry", standalone_mode=False)
        sys.stdout.flush()
        if result == 130:  # how typer says that Ctrl-C was pressed
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except FoundryError as error:
        return _fail(error.to_json(), str(error), error.exit_code, as_json)
    except TyperException as error:
        return _usage(error, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(
            {"error": {"code": "interrupted"}}, "interrupted; the same command goes on from here", 130, as_json
        )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a reader like `head` left: not an error
        return 0
    except OSError as error:
        line = f"[os.{type(error).__name__}] {error.filename or ''}: {error.strerror or error}"
        body = {"error": {"code": "os", "path": str(error.filename or ""), "got": None, "choices": [], "hint": line}}
        return _fail(body, line, 1, as_json)


def _usage(error: TyperException, as_json: bool) -> int:
    """The parser's complaint in our form: one line, with the nearest command or option."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(context.get_help() if context else app.info.help)
        return 0
    message = " ".join(error.format_message().split()).rstrip(".")
    got, choices = getattr(error, "option_name", None), list(getattr(error, "possibilities", None) or [])
    hint = nearest(got, choices) or f"see `{context.command_path if context else 'foundry'} --help`"
    body: dict[str, Any] = {"code": "usage", "path": message, "got": got, "choices": choices, "hint": hint}
    return _fail({"error": body}, f"[usage] {message}; {hint}", 2, as_json)


def _fail(body: dict[str, Any], line: str, code: int, as_json: bool) -> int:
    if as_json:
        print(json.dumps(body))
    print(line, file=sys.stderr)
    return code


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt
