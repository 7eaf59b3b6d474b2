"""Replays campaigns on the recorded table: `python -m benchmarks.campaign.replay`, one core.

Every method starts from the same recipe with the same horizon, counted in full runs, thousands of times; each replay
divides the table's seeds anew, and what a method holds is scored on seeds that none of its runs read. Scenarios: `far`
(from tiny.yaml, much to gain), `near` (from a good recipe: small gains among many losses), and the control `flat`,
where every recipe is an exact no-op of the start and every promotion a false one. Writes results/replayed.json, a table
on stdout and results/replayed.png. A method that is in the file already, replayed as often, isn't replayed again.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.campaign import methods, pictures
from benchmarks.campaign.measures import TARGETS, Measured, measured, summary
from benchmarks.campaign.methods import Method
from benchmarks.campaign.record import TABLE
from benchmarks.campaign.table import Table, TableWorld
from benchmarks.campaign.tuners import tuner
from foundry.core.files import write_json

RESULTS = Path(__file__).parent / "results"
NOOPS = 3
"""Exact no-ops that may be proposed beside everything else."""
HORIZON = 200.0
NEAR = {"position": "rope", "lr": "0.012"}
METHODS: dict[str, tuple[Method, int]] = {
    "Foundry, champion": (methods.foundry(), 4000),
    "Foundry, frontier": (methods.frontier(), 4000),
    "greedy, 1 seed": (methods.greedy(1), 4000),
    "greedy, 3 seeds": (methods.greedy(3), 4000),
    "random": (methods.random_search, 4000),
    "TPE + Hyperband": (tuner("tpe + hyperband", reevaluated=False), 40),
    "TPE + Hyperband, top 5 again": (tuner("tpe + hyperband", reevaluated=True), 40),
    "TPE + Wilcoxon": (tuner("tpe + wilcoxon", reevaluated=False), 40),
    "TPE + Wilcoxon, top 5 again": (tuner("tpe + wilcoxon", reevaluated=True), 40),
    "ASHA": (tuner("asha", reevaluated=False), 100),
    "ASHA, top 5 again": (tuner("asha", reevaluated=True), 100),
}
"""Name → the method, and how often it is replayed. Foundry's two are one campaign, looked at twice."""


def scenarios(table: Table) -> dict[str, Table]:
    near = table.started(NEAR)
    return {"far": table, "near": near, "flat": near.without_effects()}


def replays(table: Table, method: Method, count: int, horizon: float) -> list[Measured]:
    start, best = table.best()
    found = []
    for i in range(count):
        world = TableWorld(table, i)
        found.append(measured(method(world, i, horizon), world.truth, start, best, horizon))
    return found


def run(table: Table, path: Path, names: Iterable[str], scale: float, horizon: float) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"scenarios": {}}
    document |= {"seeds": table.seeds, "recipes": table.scores["validation", 1.0].shape[0], "noops": NOOPS}
    for scenario, where in scenarios(table).items():
        start, best = where.best()
        known = document["scenarios"].setdefault(scenario, {"methods": {}})
        known |= {"start": start, "best": best, "start_at": where.space.word(where.space.baseline)}
        for name in names:
            method, count = METHODS[name]
            count = max(10, math.ceil(count * scale))
            old = known["methods"].get(name)
            if old and old["replays"] == count and old["horizon"] == horizon and old["seeds"] == table.seeds:
                continue
            began = time.perf_counter()
            found = summary(replays(where, method, count, horizon), horizon)
            known["methods"][name] = {**found, "seeds": table.seeds, "seconds": time.perf_counter() - began}
            print(row(scenario, name, known["methods"][name]), flush=True)
            write_json(path, document)
    return document


def row(scenario: str, name: str, found: dict[str, Any]) -> str:
    def cost(target: dict[str, Any]) -> str:
        return f"{'—' if target['median'] is None else format(target['median'], '.0f')} ({target['share']:.0%})"

    optimism = found["claimed_minus_true"]
    shown = "—" if optimism is None else f"{optimism['mean']:+.4f} [{optimism['low']:+.4f}, {optimism['high']:+.4f}]"
    costs = " | ".join(cost(found["to_target"][f"{target:.0%}"]) for target in TARGETS)
    area, false = found["area"]["mean"], found["false_promotions"]["mean"]
    kept = f"{false:.2f} of {found['promotions']['mean']:.2f}"
    return f"| {scenario} | {name} | {costs} | {area:.3f} | {shown} | {kept} | {found['replays']} |"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--out", type=Path, default=RESULTS / "replayed.json")
    parser.add_argument("--only", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of replays")
    parser.add_argument("--horizon", type=float, default=HORIZON, help="full runs that a campaign may take")
    options = parser.parse_args(arguments)
    table = Table.load(options.table, NOOPS)
    document = run(table, options.out, options.only, options.scale, options.horizon)
    pictures.curves(document, options.out.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
