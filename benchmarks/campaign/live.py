"""A small live run of each method: `python -m benchmarks.campaign.live`, the ordinary engine and judge, one core.

The methods are the replay's, and so is the space; every run is trained, on seeds that the table doesn't have, and
judged in its sandbox. What a method holds is scored by the table. `--check N` trains N runs of the table through the
engine instead, and says how far their scores are from the recorded ones. May not: write to a ledger of the user's.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from benchmarks.campaign.court import COURT_FROM
from benchmarks.campaign.factorial import FACTORS, recipe
from benchmarks.campaign.measures import TARGETS, measured
from benchmarks.campaign.record import JUDGED_BYTES, TABLE
from benchmarks.campaign.replay import METHODS, NEAR, NOOPS, RESULTS
from benchmarks.campaign.table import NOOP, Space, Table
from foundry.campaign.environment import FULL, Point
from foundry.compare.session import Lab, Settings
from foundry.core import places
from foundry.core.files import write_json

UNRECORDED = 1_000_000
"""Screening's seeds begin here; the table's end far below."""


class LiveWorld:
    """Runs are trained when they are asked for."""

    def __init__(self, lab: Lab, space: Space, first_seed: int = UNRECORDED) -> None:
        self.lab, self.space, self.first_seed = lab, space, first_seed
        self.runs, self.seconds = 0, 0.0

    def run(self, point: Point, seed: int, share: float = FULL, split: str = "validation") -> float | None:
        """A no-op has seeds of its own, and so fresh noise."""
        began, noop = time.perf_counter(), int(point.rpartition(".")[2])
        numbers = [int(number) for number in point.split(".")[:-1]]
        of = recipe(tuple(all_[number] for all_, number in zip(FACTORS.values(), numbers, strict=True)))
        tokens = of.steps(int(of.budget.tokens * share)) * of.step_tokens
        seed = seed if seed >= COURT_FROM else seed + self.first_seed
        [result] = self.lab.gather([(self.lab.arm_of(of, tokens), seed ^ (noop << 40))], split)
        self.runs, self.seconds = self.runs + 1, self.seconds + time.perf_counter() - began
        return result.bpb


def check(lab: Lab, table: Table, count: int) -> dict[str, Any]:
    """How far the engine's scores are from the recorded ones."""
    rng, gaps = Random("check"), []
    for _ in range(count):
        point = table.space.point(
            {n: rng.choice(all_) if n != NOOP else "0" for n, all_ in table.space.families.items()}
        )
        seed, (split, share) = rng.randrange(table.seeds), rng.choice(list(table.scores))
        found = LiveWorld(lab, table.space, 0).run(point, seed + 1, share, split)
        known = float(table.scores[split, share][table.row(point), seed])
        gaps.append(abs((found if found is not None else float("nan")) - known))
    return {"runs": count, "largest_gap_bpb": max(gaps)}


def live(lab: Lab, table: Table, name: str, campaigns: int, horizon: float) -> dict[str, Any]:
    """A few campaigns of one method, scored by all of the table's seeds: none of the runs is in it."""
    start, best = table.best()

    def truth(point: Point, split: str) -> float:
        return fmean(table.scores[split, FULL][table.row(table.recipe(point))].tolist())

    found, runs, seconds = [], 0, 0.0
    for i in range(campaigns):
        world = LiveWorld(lab, table.space, UNRECORDED * (i + 1))
        found.append(measured(METHODS[name][0](world, i, horizon)[0], truth, start, best, horizon))
        runs, seconds = runs + world.runs, seconds + world.seconds
    return {
        "campaigns": campaigns,
        "runs": runs,
        "seconds": seconds,
        "reached": {
            f"{target:.0%}": [each.reached[k] if math.isfinite(each.reached[k]) else None for each in found]
            for k, target in enumerate(TARGETS)
        },
        "area": [each.area for each in found],
        "claimed_minus_true": [each.optimism for each in found],
        "promotions": [each.promotions for each in found],
        "false_promotions": [each.false for each in found],
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--out", type=Path, default=RESULTS / "live.json")
    parser.add_argument("--only", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--campaigns", type=int, default=2)
    parser.add_argument("--horizon", type=float, default=80.0, help="full runs that a campaign may take")
    parser.add_argument("--near", action="store_true", help="begin where little is left to gain")
    parser.add_argument("--check", type=int, default=0, metavar="N")
    options = parser.parse_args(arguments)
    os.environ["FOUNDRY_RUNS"] = str(places.runs() / "campaign-live")
    table = Table.load(options.table, NOOPS)
    table = table.started(NEAR) if options.near else table
    document: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    with Lab(Settings(jobs=1, device="cpu", judged_bytes=JUDGED_BYTES)) as lab:
        if options.check:
            document["check"] = check(lab, table, options.check)
            print(document["check"])
            write_json(options.out, document)
            return 0
        known = document.setdefault("near" if options.near else "far", {})
        for name in options.only:
            known[name] = {"horizon": options.horizon, **live(lab, table, name, options.campaigns, options.horizon)}
            print(name, known[name], flush=True)
            write_json(options.out, document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
