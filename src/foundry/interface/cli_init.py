"""Verbs for the first minute: init, which starts a project, and skill, which tells an agent how to work in one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foundry.documents.recipes import Initialized, Skill
from foundry.interface import options
from foundry.skill import Agent
from foundry.starter import CORPUS


def register(app: typer.Typer) -> None:
    app.command("init", rich_help_panel="The loop")(options.command(init))
    app.command("skill", rich_help_panel="Look")(options.command(skill))


def init(
    folder: Annotated[Path, typer.Argument(help="Where; made if it isn't there.")] = Path(),
    corpus: Annotated[
        str, typer.Option(help="What its recipes train on: builtin:NAME (networkx, python, shakespeare), file:PATH.")
    ] = CORPUS,
    agent: Annotated[Agent | None, typer.Option(help="Put the page of `foundry skill` where this one looks.")] = None,
) -> Initialized:
    """Start a project: recipes to improve, a workspace, a README. Overwrites nothing.

    Examples: foundry init · foundry init my-project --corpus "file:texts/*.jsonl" --agent claude
    """
    from foundry.starter import init as verb

    return verb(folder, corpus, agent)


def skill(
    into: Annotated[
        Path | None, typer.Option(help="A folder of skills, .claude/skills or .agents/skills, to put it into.")
    ] = None,
) -> Skill:
    """How an agent works with Foundry, as a page for agents.

    Examples: foundry skill · foundry skill --into .claude/skills
    """
    from foundry.skill import skill as verb

    return verb(into)
