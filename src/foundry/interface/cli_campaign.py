"""Verbs of the endless loop: campaign, propose, proposals, history, reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from foundry.core.errors import RequestError
from foundry.documents import campaign as documents
from foundry.interface import options
from foundry.interface.cli_page import leave
from foundry.interface.cli_work import BASELINE, bench
from foundry.interface.report import pair_line
from foundry.interface.report_campaign import lines


def register(app: typer.Typer) -> None:
    for verb, then in ((campaign, leave), *((each, None) for each in (propose, proposals, history, reproduce))):
        app.command(verb.__name__, rich_help_panel="While you sleep")(options.command(verb, then))


def campaign(
    hours: Annotated[float | None, options.real(1e-4, 1e6, "Begin no run after so many hours of work.")] = None,
    flops: Annotated[
        float | None, options.real(1, 1e30, "Begin no run that would pass so many training FLOPs, such as 1e17.")
    ] = None,
    runs: Annotated[int | None, typer.Option(min=1, max=1_000_000_000, help="Begin no more runs than this.")] = None,
    strategy: Annotated[
        str,
        typer.Option(help="Who proposes: bayes, evolve, portfolio, grid, random, tpe, cmaes, outside, command, llm."),
    ] = "bayes",
    space: Annotated[Path | None, typer.Option(help="A YAML file: what may be proposed. Default: everything.")] = None,
    baseline: Annotated[Path, typer.Option(help="The recipe to improve.")] = BASELINE,
    remeasure: Annotated[
        bool, typer.Option("--remeasure", help="Try nothing: measure again, on 16 runs, what was promoted.")
    ] = False,
    jobs: options.Jobs = 0,
    match: options.Match = None,
    *,
    budget: options.ErrorBudget,
    min_effect: options.MinEffect = 0.0,
    asking: options.Asking,
    how: options.Execution,
    display: options.Display,
) -> documents.Campaign:
    """Propose, screen, certify and promote by itself, for ever or for a budget. Ctrl-C, kills and reboots lose nothing.
    What was promoted is measured again when a limit is reached, or at once with --remeasure.

    Examples: foundry campaign --hours 8 · foundry campaign --runs 200 --strategy command --command ./ask.sh
    """
    from foundry.campaign.policy import Limits
    from foundry.campaign.run import CampaignPlan
    from foundry.campaign.run import campaign as verb

    limits = Limits(runs, flops, hours)
    plan = CampaignPlan(limits, strategy, space, match, min_effect, budget.rules, ask=asking.whom, remeasure=remeasure)
    with bench(how, display, jobs) as lab:
        return verb(lab, baseline, plan, pair_line(lab.say), lines(lab.say))


def propose(
    mutation: Annotated[str, typer.Argument(help="A mutation, or a stack: attention:gqa_2kv+lr:1e-3.")],
    why: Annotated[str, typer.Option(help="What makes you think that it helps; kept with its result.")] = "",
    who: Annotated[str, typer.Option(help="Who proposes it.")] = "agent",
    baseline: Annotated[Path, typer.Option(help="The recipe that it must fit.")] = BASELINE,
) -> documents.Proposed:
    """Put a mutation into the queue that a running or later campaign takes first. What `mutate` refuses is refused.

    Example: foundry propose "attention:gqa_2kv+lr:1e-3" --why "fewer keys leave room for a higher rate"
    """
    from foundry.campaign.proposals import propose as verb

    return verb(baseline, mutation, why, who)


def proposals(
    withdraw: Annotated[
        int | None, typer.Option(min=1, max=1 << 62, help="The number of a proposal to take back.")
    ] = None,
    why: Annotated[str, typer.Option(help="With --withdraw: the reason, for the record.")] = "",
    limit: options.Limit = 20,
    offset: options.Offset = 0,
    status: Annotated[
        Literal["queued", "taken", "done", "refused"] | None, typer.Option(help="Only those that are so.")
    ] = None,
) -> documents.Proposals | documents.Proposal:
    """What was proposed and what became of it; --withdraw takes back one that still waits.

    Examples: foundry proposals --status queued · foundry proposals --withdraw 3 --why "tried by hand"
    """
    from foundry.campaign import proposals as verbs

    if withdraw is not None:
        return verbs.withdraw(withdraw, why)
    if why:
        raise RequestError("usage.proposals", "--why", "this option is a withdrawal's", hint="add --withdraw NUMBER")
    return verbs.proposals(limit, status, offset)


def history(
    limit: options.Limit = 20,
    offset: options.Offset = 0,
    word: Annotated[str, typer.Option(help="Only trials with this family or mutation in them.")] = "",
) -> documents.History:
    """What campaigns tried, what it gave with its interval, what failed and why, which families pay.

    Example: foundry history --word attention --json
    """
    from foundry.campaign.history import history as verb

    return verb(limit, word, offset)


def reproduce(
    promotion: Annotated[str, typer.Argument(help="Id of a promotion, or its beginning; see foundry lineage.")],
    pairs: Annotated[int, typer.Option(min=1, max=60, help="How many of its pairs to train again.")] = 8,
    jobs: options.Jobs = 0,
    device: options.Device = "auto",
    *,
    display: options.Display,
) -> documents.Reproduced:
    """Train a promotion's runs again from the ledger alone: did it come out bit for bit, or within its interval?

    Example: foundry reproduce 3fa9c1 --pairs 2
    """
    from foundry.promote.reproduce import reproduce as verb

    return verb(promotion, pairs, jobs, device, display, display.say)
