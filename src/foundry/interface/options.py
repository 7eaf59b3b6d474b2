"""The options that several commands share, said once: each with its type, bounds and help, those that go together as a
group; and a verb, a function of such options that returns a document, as a command. May not: act on them.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import operator
import os
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, Union, cast, get_args, get_origin, get_type_hints

import typer
from typer.exceptions import TyperException

from foundry.core import places
from foundry.core.errors import RequestError, nearest, shown

if TYPE_CHECKING:
    from foundry.campaign.strategies import Ask
    from foundry.compare.alpha_spending import BudgetRules
    from foundry.documents.recipes import Adoptable
    from foundry.stats.error_budget import Control as ErrorControl

LARGEST_SEED = 2**63 - 1
BASELINE = places.baseline()
"""The default of a command, which stands in one folder for good; of a program's call it is `places.baseline()` then."""


def real(low: float, high: float, help: str, *names: str) -> Any:
    """An option that takes a number in [low, high]; nan is in no range."""
    return typer.Option(*names, min=low, max=high, help=help)


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Progress = Annotated[
    Literal["plain", "json", "none"] | None,
    typer.Option(help="How progress is told on stderr. Default: plain; with --json, a JSON object a line."),
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=0, max=4096, help="Runs at once; 0: one a core (CPU), one (accelerator).")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
JudgedBytes = Annotated[
    int, typer.Option(min=1024, max=1 << 40, help="Bytes of held-out text that a score is taken on.")
]
WallSeconds = Annotated[float, real(1, 1e9, "Longest that one run may take, in seconds.")]
StallSeconds = Annotated[float, real(1, 1e9, "Longest that a run may go without a sign of life, in seconds.")]
MemoryGb = Annotated[float, real(0, 1e6, "Memory that one run may use, in GB; 0: an equal share.")]
Retry = Annotated[bool, typer.Option("--retry", help="Train again what crashed, hung or ran out of memory before.")]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="The seed of what is random.")]
Match = Annotated[
    str | None,
    typer.Option(help="What the arms get equally: tokens, flops or seconds. Default: flops when structure differs."),
]
Tune = Annotated[
    str | None,
    typer.Option(help="lr: give every arm the same small grid of learning rates, and compare each at its best."),
]
Control = Annotated[
    str | None,
    typer.Option(help="Error control of the first season: fdr (default), fwer or per-comparison."),
]
Rate = Annotated[float | None, real(1e-6, 0.999, "The error rate of the first season; 0.10.", "--q")]
BasePairs = Annotated[
    int | None,
    typer.Option("--max-pairs", min=3, max=60, help="Most pairs of an ordinary test of the first season; 12."),
]
Alpha = Annotated[float, real(1e-6, 0.999, "Chance of a false verdict `better`, at most.")]
MaxPairs = Annotated[int, typer.Option(min=3, max=60, help="Most pairs of runs before the test ends undecided.")]
MinEffect = Annotated[float, real(0, 100, "Gain in bits per byte below which nothing counts as better.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="How many, newest first.")]
Offset = Annotated[int, typer.Option(min=0, max=1 << 40, help="How many of the newest to pass over.")]


@dataclass(frozen=True)
class Execution:
    """How a command's runs are computed."""

    device: Device = "auto"
    judged_bytes: JudgedBytes = 1 << 15
    wall_seconds: WallSeconds = 86400.0
    stall_seconds: StallSeconds = 300.0
    memory_gb: MemoryGb = 0.0


@dataclass(frozen=True)
class ErrorBudget:
    """What a season of the error budget is opened with."""

    control: Control = None
    q: Rate = None
    max_pairs: BasePairs = None

    @property
    def rules(self) -> BudgetRules:
        """Raises RequestError, before anything is trained, for rules that no season can have."""
        from foundry.compare.alpha_spending import BudgetRules

        rules = BudgetRules(cast("ErrorControl | None", self.control), self.q, self.max_pairs)
        rules.within(None)
        return rules


@dataclass(frozen=True)
class Asking:
    """Whom a strategy that asks somebody else asks, and how much."""

    command: Annotated[
        str,
        typer.Option(help="With --strategy command: what reads a question on stdin and writes ideas, a line each."),
    ] = ""
    pass_env: Annotated[str, typer.Option(help="Variables of the environment that it gets, with commas between.")] = ""
    llm_model: Annotated[str, typer.Option(help="With --strategy llm: the model's name.")] = ""
    llm_url: Annotated[
        str, typer.Option(help="The server, which speaks OpenAI's protocol: http://127.0.0.1:11434/v1.")
    ] = ""
    llm_key_file: Annotated[Path | None, typer.Option(help="A file with the server's key in it.")] = None
    llm_requests: Annotated[int, typer.Option(min=1, max=10**9, help="Ask it no more often in this campaign.")] = 200
    llm_tokens: Annotated[float, real(1, 1e15, "Ask it no more once it took so many tokens.")] = 2e6
    ask_seconds: Annotated[float, real(0.1, 1e5, "Longest that an answer may take.")] = 120.0

    @property
    def whom(self) -> Ask:
        from foundry.campaign.strategies import Ask

        passed = tuple(name for name in self.pass_env.replace(" ", "").split(",") if name)
        return Ask(
            self.command, passed, self.llm_model, self.llm_url, self.llm_key_file, self.llm_requests, self.llm_tokens,
            self.ask_seconds,
        )  # fmt: skip


class Display(Protocol):
    """Who is told how far a verb is: a terminal, a program, nobody. A `Watcher` that hears lines too."""

    def say(self, line: str) -> None: ...
    def started(self, spec: Any, stage: str) -> None: ...
    def progressed(self, spec: Any, stage: str, facts: dict[str, Any]) -> None: ...
    def ended(self, result: Any) -> None: ...


class Person(Protocol):
    """Who sees what a verb has to say before its end, and answers for what a machine may not decide."""

    def sees(self, document: Any) -> None: ...

    def agrees(self, seen: Adoptable, given: bool) -> bool:
        """Whether a person agrees to what was shown; given: beforehand."""
        ...


GROUPS = (Execution, ErrorBudget, Asking)
INJECTED = (Display, Person)
"""What a skin gives a verb, and nobody who calls it."""


def flat(verb: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """A verb's options, name → (type, default): in the place of a parameter whose type is a group stand the group's.
    Its display is none of them."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, parameter in inspect.signature(verb).parameters.items():
        hint = get_type_hints(verb, include_extras=True)[name]
        if hint in GROUPS:
            types = get_type_hints(hint, include_extras=True)
            found |= {field.name: (types[field.name], field.default) for field in fields(hint)}
        elif hint not in INJECTED:
            found[name] = hint, parameter.default
    return found


def grouped(verb: Callable[..., Any], given: dict[str, Any], skin: Any) -> dict[str, Any]:
    """What the verb is called with, of its options as `flat` has them; `skin` is its display, and its person."""
    given = dict(given)
    for name, hint in get_type_hints(verb).items():
        if hint in GROUPS:
            given[name] = hint(**{field.name: given.pop(field.name) for field in fields(hint)})
        elif hint in INJECTED:
            given[name] = skin
    return given


def checked(name: str, hint: Any, value: Any) -> Any:
    """What a program gave for an option, as a command would have it. Raises RequestError for what no command takes."""
    kind, *about = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if value is BASELINE:
        return places.baseline()
    kinds = [each for each in get_args(kind) if each is not type(None)] if get_origin(kind) in UNIONS else [kind]
    if value is None and kinds != [kind]:
        return None
    kind, bounds = kinds[0], about[0] if about else None
    low, high = getattr(bounds, "min", None), getattr(bounds, "max", None)
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise RequestError("usage", name, "not one of them", got=value, choices=get_args(kind))
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        made = _made(kind, value)
        if (low is None or made >= low) and (high is None or made <= high) and made == made:
            return made
    what = WORDS.get(kind, "text")
    span = "" if low is None and high is None else f" from {low} to {high}"
    raise RequestError("usage", name, f"takes {what}{span}, not {shown(value)}", got=value)


UNIONS = (Union, types.UnionType)
WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    Path: "a path",
    list[str]: "words",
    list[Path]: "paths",
}


def _made(kind: Any, value: Any) -> Any:
    """`value` as `kind`. Raises TypeError, ValueError or OverflowError."""
    if kind is Path:
        return places.root() / os.fspath(value)
    if get_origin(kind) is list:
        one = value if isinstance(value, (list, tuple)) else [value]
        return [_made(get_args(kind)[0], each) for each in one]
    if kind is str:
        return value if isinstance(value, str) else ",".join(str(operator.index(each)) for each in value)
    if isinstance(value, bool) != (kind is bool):
        raise TypeError
    return value if kind is bool else operator.index(value) if kind is int else float(value + 0.0)


def plain(hint: Any) -> Any:
    """The type of an option, as a program is told it."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def takes_many(hint: Any) -> bool:
    return get_origin(plain(hint)) is list


def command(
    verb: Callable[..., Any], then: Callable[[dict[str, Any], bool, Any], None] | None = None
) -> Callable[..., None]:
    """The verb as typer takes it: its options, `--progress` where it has a display, and `--json`. The command prints
    the document that the verb returns (None: nothing), and ends with the exit code that the document stands for.

    then: called at the end with the options, whether the answer was JSON, and how progress is told."""
    options = flat(verb)
    needs = [hint for hint in get_type_hints(verb).values() if hint in INJECTED]
    if Display in needs:
        options["progress"] = Progress, None
    options["as_json"] = Json, False

    @functools.wraps(verb)
    def called(**given: Any) -> None:
        from foundry.interface.answer import answer, exit_code

        as_json, progress = given.pop("as_json"), given.pop("progress", None)
        with _terminal(progress, as_json) if needs else contextlib.nullcontext() as terminal:
            document = verb(**grouped(verb, given, terminal))
        if document is not None:
            answer(document, as_json)
            if then is not None:
                then(given, as_json, progress)
            raise typer.Exit(exit_code(document))

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in options.items()
    ]
    called.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    called.__annotations__ = {name: hint for name, (hint, _) in options.items()}
    return called


def parsed(command: Any, name: str, words: Sequence[str]) -> None:
    """Whether a command takes these words. Raises RequestError."""
    try:
        command.make_context(name, list(words))
    except TyperException as error:
        raise complaint(error) from None


def complaint(error: TyperException) -> RequestError:
    """The parser's complaint in our form: one line, with the nearest command or option."""
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split()).rstrip(".")
    got, choices = getattr(error, "option_name", None), list(getattr(error, "possibilities", None) or [])
    hint = nearest(got, choices) or f"see `{context.command_path if context else 'foundry'} --help`"
    return RequestError("usage", "", message, got=got, choices=choices, hint=hint)


def _terminal(progress: Any, as_json: bool) -> Any:
    from foundry.interface.progress import Terminal

    return Terminal(progress, as_json)


def seed_list(text: str) -> tuple[int, ...]:
    """`1,2,3` as numbers. Raises RequestError."""
    try:
        seeds = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise RequestError("usage.seeds", "--seeds", "numbers with commas between", got=text) from None
    if seeds and not (
        3 <= len(seeds) <= 60 and len(set(seeds)) == len(seeds) and 0 <= min(seeds) <= max(seeds) < 2**63
    ):
        message = f"3 to 60 different numbers, each from 0 to {LARGEST_SEED}"
        raise RequestError("usage.seeds", "--seeds", message, got=text[:200])
    return seeds
