"""`foundry campaign`: the endless loop on a baseline file, for ever or for a budget. After a kill the same goes on.

May not: decide anything itself; that is campaign.py's, with the strategies and the court.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from foundry.campaign import strategies
from foundry.campaign.campaign import Campaign, Step
from foundry.campaign.certifier import LedgerCertifier
from foundry.campaign.journal import LedgerJournal, LedgerSuggestions
from foundry.campaign.live_environment import LiveEnvironment, read_space
from foundry.campaign.meter import Meter, Paused
from foundry.campaign.policy import MOST_BATCH, Limits, Policy
from foundry.campaign.report import document
from foundry.campaign.state import End, Event, State
from foundry.compare import alpha_spending
from foundry.compare.alpha_spending import BudgetRules
from foundry.compare.certify import Seen
from foundry.compare.comparison import check_gain
from foundry.compare.match import carrying
from foundry.compare.session import Lab
from foundry.core.errors import FoundryError, WorkError
from foundry.core.fingerprint import fingerprint
from foundry.documents import campaign as documents
from foundry.judge.code import judging_code
from foundry.promote.promote import STALE, settle, track_of
from foundry.recipe import Recipe
from foundry.train.code import training_code

MOST_AHEAD = 10
"""Runs beyond those that decide an ordinary certification, which workers begin rather than idle."""
MOST_BASE_FAILURES = 3
"""Rounds in a row in which the frontier itself fails, before it is given up."""


@dataclass(frozen=True)
class CampaignPlan:
    """What a campaign is asked to do."""

    limits: Limits = field(default_factory=Limits)
    strategy: str = "bayes"
    space: Path | None = None
    match: str | None = None
    min_effect: float = 0.0
    budget: BudgetRules = field(default_factory=BudgetRules)
    policy: Policy = field(default_factory=lambda: Policy(batch=MOST_BATCH))
    """Its batch is the most; how many workers there are says how much of it is used."""
    ask: strategies.Ask = strategies.NOBODY
    remeasure: bool = False
    """Try nothing: measure again what was promoted since that was done last."""

    @property
    def asked(self) -> dict[str, Any]:
        """What makes two commands the same."""
        whom = self.ask.command or self.ask.llm_model
        asks = {"whom": [whom, self.ask.llm_url]} if whom else {}
        asked = {**asdict(self.limits), "strategy": self.strategy, "space": str(self.space or ""), "match": self.match}
        return asked | asks | ({"remeasure": True} if self.remeasure else {})


def campaign(
    lab: Lab, path: Path, plan: CampaignPlan, seen: Seen, told: Callable[[Event, State], None]
) -> documents.Campaign:
    """Run the campaign on the baseline file `path`.

    `told` hears of every event. Raises WorkError when another campaign runs on this ledger, or the champion fails.
    """
    check_gain(plan.min_effect)
    words = read_space(plan.space) if plan.space is not None else None
    strategy = strategies.make(plan.strategy, plan.ask)
    jobs, asked = lab.engine.jobs, plan.policy
    policy = replace(
        asked,
        min_effect=plan.min_effect,
        batch=min(asked.batch, max(Policy.batch, jobs)),
        reserve_runs=asked.reserve_runs + min(jobs, MOST_AHEAD),
    )
    alpha_spending.check(lab.ledger, plan.budget)
    fence = lab.ledger.campaigns.begin()
    try:
        champion = settle(lab.ledger, path, lab.say)
        track = track_of(path)
        field = LiveEnvironment(lab, champion, plan.match, words, track)
        court = LedgerCertifier(field, path, plan.budget, plan.min_effect, seen, plan.match)
        past, suggestions = lab.ledger.campaigns.events(track), LedgerSuggestions(lab.ledger)
        loop = Campaign(field, court, strategy, policy, track, suggestions=suggestions, past=past)
        meter = Meter(lab.ledger, loop.state, plan.limits)
        loop.journal, lab.allow = _Told(LedgerJournal(field, track, fence, meter), told, loop.state), meter.allow
        meter.kept = lambda: loop.kept
        loop.recode(champion.fingerprint, fingerprint([training_code(champion.to_dict()), judging_code()]))
        _agree(champion, field, loop)
        loop.open(loop.state.champion or champion.fingerprint, plan.limits, plan.asked)
        if plan.limits.runs is not None and not plan.remeasure:
            lab.say(
                f"at most {plan.limits.runs} runs, about {policy.reserve_runs} of them kept for a certification and "
                f"{policy.remeasure_runs} to measure again at the end what was promoted; what they don't suffice for "
                "goes on with the next command"
            )
        ended = _steps(lab, path, field, loop, plan.remeasure)
        if loop.finish(ended):
            ended = _steps(lab, path, field, loop, plan.remeasure)
        loop.close()
        return document(path, loop.state, loop.strategy, ended)
    finally:
        lab.ledger.campaigns.end(fence)


def _steps(lab: Lab, path: Path, field: LiveEnvironment, loop: Campaign, only_pending: bool) -> End:
    """Until it is over; `only_pending`: no more than what was begun before."""
    while loop.state.remeasuring or loop.state.in_court or not only_pending:
        step = _step(lab, path, field, loop)
        if step == "over" or step == "exhausted":
            return step
    return "remeasured"


def _step(lab: Lab, path: Path, field: LiveEnvironment, loop: Campaign) -> Step:
    """One step, on the champion that stands in the file now."""
    standing = settle(lab.ledger, path, lab.say)
    _agree(standing, field, loop)
    if loop.state.base_failures >= MOST_BASE_FAILURES:
        if loop.state.frontier == loop.state.champion:
            why = f"the champion's own runs fail: {loop.state.base_failed}"
            loop.close()
            hint = "mend the machine or the recipe; the same command tries again on other seeds"
            raise WorkError("campaign.champion_fails", str(path), why, hint=hint)
        loop.rebase(standing.fingerprint)
    try:
        return _taken(lab, loop)
    except WorkError as error:
        if error.code not in STALE:
            raise
        lab.say(str(error))
        return "certified"  # the next step begins from what stands in the file now


def _taken(lab: Lab, loop: Campaign) -> Step:
    """A step, or "over" where a limit stands before its next run. What is being trained then is finished: it may be all
    that the step lacks."""
    while True:
        try:
            return loop.step()
        except Paused:
            if not lab.engine.busy:
                return "over"
            while lab.engine.busy:
                lab.engine.wait()


def _agree(standing: Recipe, field: LiveEnvironment, loop: Campaign) -> None:
    """Go on from the champion that stands in the file. The court may have put it there, and not said so yet: then it is
    asked again, which gives the verdict that it gave."""
    state = loop.state
    if state.in_court and standing.fingerprint != state.champion and _is_champion(standing, field, state):
        return
    if state.remeasuring and standing.fingerprint == state.line[0]:
        return  # taken back, and not said so yet
    if state.champion not in ("", standing.fingerprint):
        field.set_champion(standing)
        loop.rebase(standing.fingerprint)


def _is_champion(standing: Recipe, field: LiveEnvironment, state: State) -> bool:
    """Whether that is the frontier as the court had it; what is measured is against the champion before it again."""
    try:
        field.set_champion(field.recipe(state.champion))
        return carrying(field.arm(state.frontier)).recipe.fingerprint == standing.fingerprint
    except FoundryError:  # its code is another by now
        return False


class _Told:
    """A journal that says aloud what it has recorded."""

    def __init__(self, journal: LedgerJournal, told: Callable[[Event, State], None], state: State) -> None:
        self.journal, self.told, self.state = journal, told, state

    def append(self, event: Event) -> Event:
        recorded = self.journal.append(event)
        self.told(recorded, self.state)
        return recorded
