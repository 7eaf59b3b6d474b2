"""Whether a candidate's code spent what its budget says: its CPU seconds, which are measured from outside, against its
FLOPs, which are counted with the code's own help. A pure function of the costs of paired runs.

Both runs of a pair are confined alike, alone and on the same machine. May not: measure, or be asked about code that is
this project's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from foundry.stats.verdict import Cost, Guard, Match, Score, Verdict, guarded

MOST_BY_FLOPS = 2.5
MOST_BY_SECONDS = 1.5


def excess(baseline: Cost, candidate: Cost, match: Match) -> float | None:
    """How many times the baseline's CPU seconds for its budget the candidate has used for its own; None where one of
    the two isn't known. Budgets are counted in FLOPs, but for those that were matched in seconds, which are equal."""
    if not (baseline.cpu_seconds and candidate.cpu_seconds and baseline.flops and candidate.flops):
        return None
    share = 1.0 if match == "seconds" else candidate.flops / baseline.flops
    return candidate.cpu_seconds / baseline.cpu_seconds / share


def spending_guard(pairs: Sequence[tuple[Cost, Cost]], match: Match) -> Guard | None:
    """By the median over the pairs, so that no single run that the machine disturbed decides; None where fewer than
    half of them were measured."""
    found = [ratio for pair in pairs if (ratio := excess(*pair, match)) is not None]
    if 2 * len(found) < max(1, len(pairs)):
        return None
    most, used = (MOST_BY_SECONDS if match == "seconds" else MOST_BY_FLOPS), median(found)
    unit = "run in matched seconds" if match == "seconds" else "counted FLOP"
    detail = f"its code used {used:.2f} × the baseline's CPU seconds for each {unit} (median of {len(found)} pairs"
    return Guard("spending", used <= most, f"{detail}, {most:g} × at most)")


def spending(verdict: Verdict, baseline: Sequence[Score], candidate: Sequence[Score]) -> Verdict:
    """The verdict, `rejected` when the candidate's code spent more than its budget in the runs of these scores, and not
    `better` while it isn't known what it spent."""
    theirs = {score.seed: score for score in candidate if score.status == "done"}
    pairs = [(s.cost, theirs[s.seed].cost) for s in baseline if s.status == "done" and s.seed in theirs]
    if not pairs:
        return verdict
    guard = spending_guard(pairs, verdict.match)
    if guard is None:
        return guarded(verdict, Guard("spending", False, "what its code has spent was not measured; ask --again"))
    if guard.passed:
        return guarded(verdict, guard)
    reasons = (*verdict.reasons, guard.detail)
    return replace(verdict, word="rejected", reasons=reasons, guards=(*verdict.guards, guard))
