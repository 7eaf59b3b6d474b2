"""Whether a candidate's code spent what its budget says: its CPU seconds, which are measured from outside, against its
FLOPs, which are counted with the code's own help. A pure function of the costs of paired runs.

Both runs of a pair are confined alike, alone and on the same machine. May not: measure, or be asked about code that is
this project's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

from foundry.stats.verdict import Cost, Guard, Match, Score, Verdict, guarded

Pairs = Sequence[tuple[Cost, Cost]]
Excess = Callable[[Cost, Cost, Match], float | None]
MOST_BY_FLOPS = 1.9
MOST_BY_CLAIM = 1.5
"""Where the candidate's tokens are more than the baseline's because by its own count they cost less: that must show."""
CLAIMED = 1.1
MOST_BY_SECONDS = 1.5
SLIGHT = 0.2
"""What all processes of a judging may use beyond, of a training: a thirtieth in each, too little to train with, and as
much as a part that imports much takes (scipy.signal and scipy.stats: 1.5 s each time)."""


def excess(baseline: Cost, candidate: Cost, match: Match) -> float | None:
    """How many times the baseline's CPU seconds for its budget the candidate has used for its own; None where one of
    the two isn't known. Budgets are counted in FLOPs, but for those that were matched in seconds, which are equal."""
    if not (baseline.cpu_seconds and candidate.cpu_seconds and baseline.flops and candidate.flops):
        return None
    share = 1.0 if match == "seconds" else candidate.flops / baseline.flops
    return candidate.cpu_seconds / baseline.cpu_seconds / share


def judged_excess(baseline: Cost, candidate: Cost, match: Match) -> float | None:
    """The same of the processes that were judged, on the same text: for the FLOPs of a token, or what a token has cost
    in training where seconds were matched. Less of that excuses nothing, because loading a model costs no less."""
    if not (baseline.judged_cpu_seconds and candidate.judged_cpu_seconds and baseline.tokens and candidate.tokens):
        return None
    worth = [(of.cpu_seconds if match == "seconds" else of.flops) / of.tokens for of in (baseline, candidate)]
    if not all(worth):
        return None
    used = max(0.0, candidate.judged_cpu_seconds - SLIGHT * baseline.cpu_seconds)
    return used / baseline.judged_cpu_seconds / max(1.0, worth[1] / worth[0])


def typical(pairs: Pairs, match: Match, of: Excess = excess) -> float | None:
    """The median over the pairs, so that no single run that the machine disturbed decides; None where fewer than half
    of them were measured."""
    found = [ratio for pair in pairs if (ratio := of(*pair, match)) is not None]
    return None if 2 * len(found) < max(1, len(pairs)) else median(found)


def carried_on(before: float, pairs: Pairs, match: Match) -> float:
    """What the candidate would carry as a champion: by how much its line's code exceeds the code that it began with, in
    training or while it is judged. Never below 1: what one part saves, another can't spend unseen. Of a training in
    matched seconds nothing is added: slower is paid for there."""
    used = 1.0 if match == "seconds" else typical(pairs, match) or 1.0
    return max(1.0, before * max(used, typical(pairs, match, judged_excess) or 1.0))


def spending_guard(pairs: Pairs, match: Match, carried: float = 1.0) -> Guard | None:
    """carried: the same of the baseline, relative to what its line began with. None where it isn't known what was
    spent."""
    used = typical(pairs, match)
    if used is None:
        return None
    in_seconds = match == "seconds"
    more = [b.tokens / a.tokens for a, b in pairs if a.tokens]
    by_count = MOST_BY_CLAIM if more and median(more) > CLAIMED else MOST_BY_FLOPS
    most = MOST_BY_SECONDS if in_seconds else by_count
    total = used if in_seconds else carried * used
    unit = "run in matched seconds" if in_seconds else "counted FLOP"
    detail = f"its code used {used:.2f} × the baseline's CPU seconds for each {unit} (median of {len(pairs)} pairs"
    line = f", {total:.2f} × with what was promoted before it" if not in_seconds and carried > 1.0 else ""
    return Guard("spending", total <= most, f"{detail}{line}, {most:g} × at most)")


def judging_guard(pairs: Pairs, match: Match, carried: float = 1.0) -> Guard | None:
    """Of what a model uses while it is judged: one that learns from its weights there has trained unseen."""
    used = typical(pairs, match, judged_excess)
    if used is None:
        return None
    unit = "what a token costs it in training" if match == "seconds" else "its counted FLOPs"
    detail = f"judged, it used {used:.2f} × the baseline's CPU seconds for {unit} (median of {len(pairs)} pairs"
    line = f", {carried * used:.2f} × with what was promoted before it" if carried > 1.0 else ""
    return Guard("judging", carried * used <= MOST_BY_FLOPS, f"{detail}{line}, {MOST_BY_FLOPS:g} × at most)")


def spending(verdict: Verdict, baseline: Sequence[Score], candidate: Sequence[Score], carried: float = 1.0) -> Verdict:
    """The verdict, `rejected` when the candidate's code spent more than its budget in the runs of these scores, trained
    or judged, or it and what was promoted before it did, and not `better` while it isn't known what it spent."""
    pairs = paired_costs(baseline, candidate)
    if not pairs:
        return verdict
    for name, bound in (("spending", spending_guard), ("judging", judging_guard)):
        guard = bound(pairs, verdict.match, carried)
        if guard is None:
            guard = Guard(name, False, f"what its code has spent ({name}) was not measured; ask --again")
        elif not guard.passed:
            verdict = replace(verdict, word="rejected", reasons=(*verdict.reasons, guard.detail))
        verdict = guarded(verdict, guard)
    return verdict


def paired_costs(baseline: Sequence[Score], candidate: Sequence[Score]) -> list[tuple[Cost, Cost]]:
    """Of the seeds that both have finished."""
    theirs = {score.seed: score for score in candidate if score.status == "done"}
    return [(s.cost, theirs[s.seed].cost) for s in baseline if s.status == "done" and s.seed in theirs]
