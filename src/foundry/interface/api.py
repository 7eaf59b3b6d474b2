"""Foundry from Python: a project's folder, with every verb of the command line as a method.

    project = foundry.Project("~/lm", progress=print)
    swept = project.sweep("norm:rmsnorm", "lr:2e-3", promote=True, jobs=2)
    swept.promoted, swept.verdict.effect_bpb, swept.to_dict()

A method takes the command's options under the same names, with the same defaults and ranges, and returns the document
that the command prints with `--json`. It raises FoundryError (code, path, hint), and whatever interrupts it leaves what
the next call goes on with. May not: hold logic, or change anything of the process that it is in.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast, final

from foundry.core import places
from foundry.core.errors import FoundryError, RequestError
from foundry.documents.campaign import Asked, Trial
from foundry.documents.runs import Trained
from foundry.documents.sweep import Sweep
from foundry.interface import (
    cli_campaign,
    cli_code,
    cli_init,
    cli_jobs,
    cli_models,
    cli_page,
    cli_read,
    cli_underway,
    cli_work,
    options,
)

Told = Callable[[dict[str, Any]], object]
Result = TypeVar("Result")
_PROJECTS: Any = inspect.Parameter.empty
"""In the place of a progress that isn't given."""


def _method(verb: Callable[..., Result]) -> Callable[..., Result]:
    """The verb as a method. `progress`: a function that is told how far it is, as `--progress json` tells a program;
    None: nobody is."""

    @functools.wraps(verb)
    def method(self: Project, *given: Any, progress: Told | None = _PROJECTS, **named: Any) -> Result:
        return self._call(verb, given, named, self.progress if progress is _PROJECTS else progress)

    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("self", kinds[0])]
    for i, (name, (hint, default)) in enumerate(options.flat(verb).items()):
        parameters.append(inspect.Parameter(name, kinds[i >= 2], default=default, annotation=options.plain(hint)))
    parameters.append(inspect.Parameter("progress", kinds[1], default=None, annotation=Told))
    method.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    return method


@final
class Project:
    """A folder with `experiments/`, `runs/` and `workspace/`, as a command that is run there finds them. Two projects
    in one process don't know of each other; a variable such as FOUNDRY_RUNS moves a place of both."""

    def __init__(self, folder: str | os.PathLike[str] = ".", *, progress: Told | None = None) -> None:
        """progress: see any method; of all of them. Raises RequestError for what is no folder."""
        self.folder, self.progress = Path(folder).expanduser().resolve(), progress
        if not self.folder.is_dir():
            raise RequestError(
                "project.no_folder",
                str(self.folder),
                "no such folder" if not self.folder.exists() else "a file, where a folder is needed",
            )

    init = _method(cli_init.init)
    skill = _method(cli_init.skill)
    mutate = _method(cli_work.mutate)
    train: Callable[..., Trained] = cast("Any", _method(cli_work.train))  # None: only under torchrun
    compare = _method(cli_work.compare)
    sweep = _method(cli_work.sweep)
    campaign = _method(cli_campaign.campaign)
    propose = _method(cli_campaign.propose)
    proposals = _method(cli_campaign.proposals)
    history = _method(cli_campaign.history)
    reproduce = _method(cli_campaign.reproduce)
    sample = _method(cli_work.sample)
    revert = _method(cli_work.revert)
    data = _method(cli_work.data)
    log = _method(cli_read.log)
    show = _method(cli_read.show)
    diff = _method(cli_read.diff)
    lineage = _method(cli_read.lineage)
    verify = _method(cli_read.verify)
    budget = _method(cli_read.budget)
    kinds = _method(cli_read.kinds)
    report = _method(cli_page.report)
    serve = _method(cli_page.serve)
    track = _method(cli_page.track)
    start = _method(cli_jobs.start)
    wait = _method(cli_jobs.wait)
    jobs = _method(cli_jobs.jobs)
    ps = _method(cli_underway.ps)
    stop = _method(cli_underway.stop)
    clean = _method(cli_underway.clean)
    curve = _method(cli_underway.curve)
    export = _method(cli_models.export)
    import_ = _method(cli_models.import_)
    check = _method(cli_code.check)
    adopt = _method(cli_code.adopt)
    rebuild = _method(cli_code.rebuild)

    def asking(
        self,
        *,
        strategy: str = "evolve",
        space: str | os.PathLike[str] | None = None,
        baseline: str | os.PathLike[str] = options.BASELINE,
        seed: int = 0,
        **sweep: Any,
    ) -> Study:
        """A loop of your own over the baseline; `sweep` are options of `sweep`, for each of its runs.

        strategy and space: as of `campaign`. seed: of the strategy's draws."""
        return Study(self, strategy, space, baseline, seed, sweep)

    def __repr__(self) -> str:
        return f"Project({str(self.folder)!r})"

    def _call(
        self, verb: Callable[..., Result], given: tuple[Any, ...], named: dict[str, Any], told: Told | None
    ) -> Result:
        from foundry.interface.progress import Calls

        with places.within(self.folder), Calls(told) as calls:
            try:
                return verb(**options.grouped(verb, _bound(verb, given, named), calls))
            except (OSError, MemoryError) as error:
                raise places.refused(error) from error


@final
class Study:
    """A loop of a caller's own: `ask` what a strategy would try next, `run` that or what you like better. Foundry
    trains and judges it and tells the strategy, so there is no `tell`: a score is never the caller's to give."""

    def __init__(
        self, project: Project, strategy: str, space: Any, baseline: Any, seed: int, sweep: dict[str, Any]
    ) -> None:
        from foundry.campaign.asking import Asking

        self.project, self.sweep = project, sweep
        with places.within(project.folder):
            path: Path = options.checked("baseline", Path, baseline)
            self._asking = Asking(path, strategy, space and options.checked("space", Path, space), seed)

    def ask(self, n: int = 1) -> tuple[Asked, ...]:
        """Up to `n` mutations that were never tried here, with the recipes that they make."""
        with places.within(self.project.folder):
            return self._asking.ask(n)

    def run(self, *mutations: str | Asked, **more: Any) -> Sweep:
        """Train these beside the baseline, and judge all. What was run before costs nothing; `promote=True` certifies
        the best and, where it holds, makes it the baseline."""
        words = [each.mutation if isinstance(each, Asked) else each for each in mutations]
        swept = self.project.sweep(*words, baseline=self._asking.baseline, **{**self.sweep, **more})
        self._asking.hear(swept)
        return swept

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What came of each that was run, oldest first."""
        return tuple(self._asking.trials)

    @property
    def best(self) -> Trial | None:
        """The trial that gained most, on screening's evidence, which decides nothing."""
        gained = [each for each in self._asking.trials if each.gain_bpb is not None]
        return max(gained, key=lambda each: each.gain_bpb or 0.0, default=None)


def _bound(verb: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """A value for each of the verb's options. Raises RequestError for those that it hasn't, lacks, or can't take."""
    known = options.flat(verb)
    names = list(known)
    many = next((i for i, name in enumerate(names[:2]) if options.takes_many(known[name][0])), None)
    if many is not None and len(given) > many:
        rest = [one for each in given[many:] for one in (each if isinstance(each, (list, tuple)) else [each])]
        given = (*given[:many], rest)
    if len(given) <= len(names):
        both = named.keys() & set(names[: len(given)])
        if both:
            raise RequestError("usage", both.pop(), "given twice")
        named = {**dict(zip(names, given, strict=False)), **named}
    else:
        raise RequestError("usage", verb.__name__, f"takes at most {len(names)} values, not {len(given)}")
    for name in named.keys() - known.keys():
        raise RequestError("usage", name, f"{verb.__name__} has no such option", got=name, choices=names)
    for name, (_, default) in known.items():
        if default is inspect.Parameter.empty and name not in named:
            raise RequestError("usage", name, f"{verb.__name__} needs it")
    return {name: options.checked(name, hint, named.get(name, default)) for name, (hint, default) in known.items()}


__all__ = ["FoundryError", "Project", "Study"]
