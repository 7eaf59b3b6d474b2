"""Verbs that take models out and in: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from foundry.core.errors import RequestError
from foundry.documents import exports
from foundry.interface import options

BASELINE = options.BASELINE


def register(app: typer.Typer) -> None:
    for name, verb in (("export", export), ("import", import_)):
        app.command(name, rich_help_panel="Models")(options.command(verb))


def export(
    name: Annotated[str, typer.Argument(help="Id of a run, recipe or promotion, a recipe's file, or `champion`.")],
    to: Annotated[Path | None, typer.Option(help="The new folder.")] = None,
    format: Annotated[str, typer.Option(help="auto, a class that --list names, or foundry.")] = "auto",
    targets: Annotated[
        bool, typer.Option("--list", help="Each class, and why it isn't this model; writes nothing.")
    ] = False,
    ema: Annotated[
        bool | None, typer.Option("--ema/--no-ema", help="The averaged weights, or the last ones. Default: the judged.")
    ] = None,
    dtype: Annotated[Literal["fp32", "bf16"], typer.Option(help="Of the weights in the file.")] = "fp32",
    verify: Annotated[
        bool | None,
        typer.Option("--verify/--no-verify", help="Load it by transformers and compare. Default: where installed."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an earlier export.")] = False,
    baseline: Annotated[Path, typer.Option(help="Whose champion.")] = BASELINE,
    *,
    display: options.Display,
) -> exports.Exported | exports.ExportTargets:
    """Write a trained run as a folder that Hugging Face's transformers loads, and check that it computes the same.

    Examples: foundry export champion --to my-model · foundry export 3fa9c1 --list
    """
    from foundry.export import export as verb

    if targets:
        return verb.targets(name, baseline)
    if to is None:
        raise RequestError("usage", "--to", "name the folder to write", hint="foundry export RUN --to DIR")
    return verb.export(name, to, format, ema, dtype, verify, force, baseline, display.say)


def import_(
    source: Annotated[str, typer.Argument(help="A folder with config.json, model.safetensors and tokenizer.json.")],
    name: Annotated[str, typer.Option(help="Of the recipe. Default: the folder's.")] = "",
    context: Annotated[
        int | None, typer.Option(min=2, max=1_048_576, help="Tokens that it sees at once. Default: as its config says.")
    ] = None,
    baseline: Annotated[Path, typer.Option(help="The recipe whose data, training and budget it takes.")] = BASELINE,
) -> exports.Imported:
    """Make a recipe that begins with weights from elsewhere: an export of Foundry's, or GPT2, Llama or Qwen3.

    Example: foundry import my-model --name grown && foundry train experiments/grown.yaml
    """
    from foundry.export.bring import bring as verb

    return verb(source, name, context, baseline)
