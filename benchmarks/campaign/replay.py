"""Replays campaigns on the recorded table: `python -m benchmarks.campaign.replay`, a process a core.

Every method starts from the same recipe with the same horizon, counted in full runs, up to thousands of times; table.py
says what a run and the truth are. Scenarios: `far` (from tiny.yaml, much to gain), `near` (from a good recipe: small
gains among many losses), and the control `flat`, where every recipe is an exact no-op of the start and every promotion
a false one. Writes results/replayed.json, a table on stdout and results/replayed.png. A method that is in the file
already, replayed as often, isn't replayed again.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, get_args

from benchmarks.campaign import methods, pictures
from benchmarks.campaign.measures import TARGETS, Measured, measured, summary
from benchmarks.campaign.methods import Method
from benchmarks.campaign.record import TABLE
from benchmarks.campaign.table import Kind, Table, TableWorld
from benchmarks.campaign.tuners import tuner
from foundry.core.files import write_json

RESULTS = Path(__file__).parent / "results"
NOOPS = 3
"""Exact no-ops that may be proposed beside everything else."""
HORIZON = 200.0
NEAR = {"position": "rope", "lr": "0.012"}
METHODS: dict[str, tuple[Method, int]] = {
    "Foundry, bayes": (methods.foundry("bayes"), 500),
    "Foundry, evolve": (methods.foundry("evolve"), 2000),
    "Foundry, portfolio": (methods.foundry("portfolio"), 500),
    "greedy, 1 seed": (methods.greedy(1), 2000),
    "greedy, 3 seeds": (methods.greedy(3), 2000),
    "random": (methods.random_search, 2000),
    "TPE + Hyperband": (tuner("tpe + hyperband", reevaluated=False), 250),
    "TPE + Hyperband, top 5 again": (tuner("tpe + hyperband", reevaluated=True), 250),
    "TPE + Wilcoxon": (tuner("tpe + wilcoxon", reevaluated=False), 250),
    "TPE + Wilcoxon, top 5 again": (tuner("tpe + wilcoxon", reevaluated=True), 250),
    "ASHA": (tuner("asha", reevaluated=False), 500),
    "ASHA, top 5 again": (tuner("asha", reevaluated=True), 500),
}
"""Name → the method, and how often it is replayed. `bayes` is the campaign's default strategy."""
OURS = ("", " (frontier)")
"""What is added to the name for each of a method's traces."""


def scenarios(table: Table) -> dict[str, Table]:
    near = table.started(NEAR)
    return {"far": table, "near": near, "flat": near.without_effects()}


def replays(
    table: Table, kind: Kind, method: Method, count: int, horizon: float, processes: int = 1
) -> list[list[Measured]]:
    """For each of the method's traces, its replays."""
    start, best = table.best()

    def replay(i: int) -> list[Measured]:
        world = TableWorld(table, i, kind)
        return [measured(trace, world.truth, start, best, horizon) for trace in method(world, i, horizon)]

    if processes == 1:
        found = [replay(i) for i in range(count)]
    else:
        _FORKED.append(replay)  # it can't be pickled: workers find it in the memory that they were forked with
        try:
            # an executor asks its processes to end; a pool ends them by a signal, which a fork may have a handler for
            with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
                chunk = max(1, min(20, count // (4 * processes)))
                found = list(pool.map(_forked, range(count), chunksize=chunk))
        finally:
            _FORKED.pop()
    return [list(each) for each in zip(*found, strict=True)]


_FORKED: list[Callable[[int], list[Measured]]] = []


def _forked(i: int) -> list[Measured]:
    return _FORKED[-1](i)


def run(table: Table, kind: Kind, path: Path, names: Sequence[str], scale: float, horizon: float) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"scenarios": {}}
    document |= {
        "world": kind,
        "seeds": table.seeds,
        "recipes": table.scores["validation", 1.0].shape[0],
        "noops": NOOPS,
    }
    for scenario, where in scenarios(table).items():
        start, best = where.best()
        known = document["scenarios"].setdefault(scenario, {"methods": {}})
        known |= {"start": start, "best": best, "start_at": where.space.word(where.space.baseline)}
        for name in names:
            method, count = METHODS[name]
            count = max(4, math.ceil(count * scale))
            old = known["methods"].get(name)
            if old and (old["replays"], old["horizon"], old["seeds"]) == (count, horizon, table.seeds):
                continue
            began, processes = time.monotonic(), os.cpu_count() or 1
            for found, trace in zip(replays(where, kind, method, count, horizon, processes), OURS, strict=False):
                seconds = (time.monotonic() - began) * processes
                known["methods"][name + trace] = {**summary(found, horizon), "seeds": table.seeds, "seconds": seconds}
                print(row(scenario, name + trace, known["methods"][name + trace]), flush=True)
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
    parser.add_argument("--world", choices=get_args(Kind), default="disjoint")
    parser.add_argument("--only", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of replays")
    parser.add_argument("--horizon", type=float, default=HORIZON, help="full runs that a campaign may take")
    options = parser.parse_args(arguments)
    table = Table.load(options.table, NOOPS)
    document = run(table, options.world, options.out, options.only, options.scale, options.horizon)
    pictures.curves(document, options.out.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
