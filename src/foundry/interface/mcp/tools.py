"""Tools that only read: each answers with what its command prints with `--json`. May not: write anything."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, get_args

import anyio.to_thread
from mcp_types import ToolAnnotations
from pydantic import Field

from foundry.documents.document import Document
from foundry.documents.mcp import Startable, StartableOption, Startables
from foundry.interface import cli_jobs, options
from foundry.interface.api import Project
from foundry.interface.mcp.server import Server, as_text

PAGE = 50
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
Limit = Annotated[int, Field(ge=1, le=500, description="How many, newest first.")]
Offset = Annotated[int, Field(ge=0, description="How many of the newest to pass over: the next page, where `more` is.")]
Baseline = Annotated[str | None, Field(description="The baseline file. Default: experiments/baseline.yaml.")]


async def answer(verb: Callable[..., Document], *values: Any, **named: Any) -> str:
    """The document of a verb, which runs in a thread of its own; options that are None are left to their defaults."""
    given = {name: value for name, value in named.items() if value is not None}
    document = await anyio.to_thread.run_sync(partial(verb, *values, **given), abandon_on_cancel=True)
    return as_text(document.to_dict())


def tool_of(server: Server, annotations: ToolAnnotations) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function as a tool of the server's, described by its docstring, which answers with text."""

    def added(function: Callable[..., Any]) -> Callable[..., Any]:
        said = " ".join((function.__doc__ or "").split())
        return server.tool(description=said, annotations=annotations, structured_output=False)(function)

    return added


def register(server: Server, project: Project) -> None:
    tool = tool_of(server, READS)

    @tool
    async def catalogue(of: Literal["mutations", "kinds", "verbs"] = "mutations") -> str:
        """What there is: mutations (families and variants, to propose or sweep), kinds (parts by slot), or verbs (what
        `start` takes, with options)."""
        verbs = {"mutations": project.mutate, "kinds": project.kinds, "verbs": startable}
        return await answer(verbs[of])

    @tool
    async def history(limit: Limit = PAGE, offset: Offset = 0, word: str | None = None) -> str:
        """What campaigns tried, what it gave with its interval, what failed and why, which families pay. word: only
        trials with this family or mutation in them."""
        return await answer(project.history, limit=limit, offset=offset, word=word)

    @tool
    async def lineage(limit: Limit = PAGE, offset: Offset = 0, baseline: Baseline = None) -> str:
        """How the baseline came to be: its promotions, each with its effect measured again."""
        return await answer(project.lineage, limit=limit, offset=offset, baseline=baseline)

    @tool
    async def show(ref: str) -> str:
        """All that is known of one run, recipe, comparison or promotion; ref: its id or the beginning of it."""
        return await answer(project.show, ref)

    @tool
    async def diff(a: str, b: str) -> str:
        """What differs between two recipes; each by id (of a run or a recipe) or by file."""
        return await answer(project.diff, a, b)

    @tool
    async def log(limit: Limit = PAGE, offset: Offset = 0, status: str | None = None) -> str:
        """The latest runs. status: queued, running, trained, done or failed."""
        return await answer(project.log, limit=limit, offset=offset, status=status)

    @tool
    async def proposals(limit: Limit = PAGE, offset: Offset = 0, status: str | None = None) -> str:
        """What was proposed and what became of it. status: queued, taken, done or refused."""
        return await answer(project.proposals, limit=limit, offset=offset, status=status)

    @tool
    async def jobs(limit: Limit = PAGE, offset: Offset = 0) -> str:
        """What was started, and what became of it."""
        return await answer(project.jobs, limit=limit, offset=offset)

    @tool
    async def budget() -> str:
        """What is left of the error budget, and what the next certification needs."""
        return await answer(project.budget)


def startable() -> Startables:
    """The verbs that `start` takes, with their options as they are typed."""
    return Startables(verbs=tuple(_startable(name, verb) for name, verb in cli_jobs.VERBS.items()))


def _startable(name: str, verb: Callable[..., Any]) -> Startable:
    what = inspect.getdoc(verb) or ""
    made = [_option(option, hint, default) for option, (hint, default) in options.flat(verb).items()]
    return Startable(verb=name, what=what, options=tuple(made))


def _option(name: str, hint: Any, default: Any) -> StartableOption:
    kind, about = options.plain(hint), get_args(hint)[1]
    positional = type(about).__name__ == "ArgumentInfo"
    names = [each for each in (getattr(about, "param_decls", None) or ()) if each.startswith("--")]
    typed = name if positional else names[0] if names else f"--{name.replace('_', '-')}"
    given = None if default is inspect.Parameter.empty or default is None else str(default)
    takes = getattr(kind, "__name__", None) if isinstance(kind, type) else str(kind)
    return StartableOption(
        name=typed, takes=takes or str(kind), default=given, positional=positional, what=about.help or ""
    )
