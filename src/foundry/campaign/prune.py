"""Leave-one-out: a part of a promoted bundle that no longer helps is taken out again, when a court says so.

Each part is left out on fresh seeds; the one whose absence looks best goes to court, which certifies that the champion
without it is not worse by a margin. May not: remove what merely looks useless.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

from foundry.campaign.environment import FULL, Certifier, Environment, Point, RunRequest
from foundry.campaign.policy import Policy
from foundry.campaign.state import Event, State, promoted
from foundry.campaign.strategies import Trial
from foundry.core.errors import FoundryError
from foundry.mutate import words_of


def pruning(field: Environment, court: Certifier, state: State, policy: Policy, noise_bpb: float | None) -> Event:
    """The event `pruned`, for the bundle that was promoted last."""
    bundle = state.prunable
    assert bundle is not None
    without = _without(field, bundle) if state.champion == promoted(bundle) else []
    seeds = list(range(state.next_seed, state.next_seed + policy.fresh_seeds)) if without else []
    points = [state.champion, *(point for _, point in without)]
    outcomes = iter(field.gather([RunRequest(point, seed) for seed in seeds for point in points]))
    scores = [dict(zip(points, outcomes, strict=False)) for _ in seeds]
    runs, flops = sum(map(len, scores)), sum(each.flops for row in scores for each in row.values())
    rows: list[dict[str, Any]] = []
    for word, point in without:
        pairs = [(row[state.champion].bpb, row[point].bpb) for row in scores]
        gains = [a - b for a, b in pairs if a is not None and b is not None]
        rows.append({"word": word, "point": point, "gain": fmean(gains) if len(gains) == len(seeds) else None})
    seen = [[p, seed, row[p].bpb] for seed, row in zip(seeds, scores, strict=True) for p in points]
    event: Event = {"kind": "pruned", "parts": rows, "fresh": seeds, "better": False, "word": "", "observed": seen}
    event |= {"margin": policy.prune_share * max(bundle["effect"] or 0.0, 0.0)}
    idle = [part for part in rows if part["gain"] is not None and part["gain"] > 0.0]
    best = max(idle, key=lambda part: part["gain"], default=None)
    if best is not None and event["margin"] > 0.0:
        name = f"without {best['word']}"
        ruling = court.certify(state.champion, best["point"], name, noise_bpb, event["margin"])
        runs, flops = runs + ruling.runs, flops + ruling.flops
        event |= {
            "point": best["point"],
            "crowned": ruling.promoted,
            "removed": best["word"],
            "word": ruling.word,
            "better": ruling.better,
            "deferred": ruling.better,
            "interval": ruling.interval_bpb and list(ruling.interval_bpb),
        }
        event |= {"effect": ruling.effect_bpb, "n": ruling.n, "verdict": ruling.id, "promotion": ruling.promotion}
    return {**event, "runs": runs, "flops": flops}


def pruning_runs(bundle: Event, policy: Policy) -> float:
    """Runs before the court is asked; infinite where nothing is ever pruned."""
    words = sum(len(words_of(move["word"])) for move in bundle["moves"])
    return policy.fresh_seeds * (1 + words) if policy.prune_share > 0 else math.inf


def left_out(part: dict[str, Any]) -> Trial:
    """What a strategy may learn of a part: by itself it gave what its absence cost."""
    gain = None if part["gain"] is None else -part["gain"]
    told = {"word": part["word"], "by": "prune", "status": "left out", "reason": "", "gain": gain}
    return {**told, "share": FULL, "flops": 0.0}


def _without(field: Environment, bundle: Event) -> list[tuple[str, Point]]:
    """Each word of the bundle, and the champion without it: the champion before, with all the others applied."""
    words = [word for move in bundle["moves"] for word in words_of(move["word"])]
    found: list[tuple[str, Point]] = []
    for left_out, word in enumerate(words):
        point: Point = bundle["champion"]
        try:
            for i, other in enumerate(words):
                point = field.apply(point, other) if i != left_out else point
        except FoundryError:
            continue  # another part stands on this one
        if point not in (bundle["champion"], promoted(bundle), *(other for _, other in found)):
            found.append((word, point))
    return found
