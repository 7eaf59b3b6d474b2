"""How soon a run starts, and what a sweep costs beyond its steps.

    python benchmarks/start.py [--recipe experiments/baseline.yaml]

Start: from submitting a run to a warm pool to the end of its first step, medians. Sweep: wall time of training and
judging a number of runs by the engine, against the sum of their steps' seconds on the same cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import machine, median, report
from foundry.compare.session import Lab, Settings
from foundry.execute.local import Ended, Pool, Started, Task
from foundry.recipe import Recipe

BASELINE = Path(__file__).parents[1] / "experiments" / "baseline.yaml"
TRAIN = "foundry.train.worker:main"


def start_seconds(lab: Lab, recipe: Recipe, times: int) -> list[float]:
    """From submit to the end of the first step, of runs of one step in a warm pool."""
    spec, data = lab.spec(lab.arm_of(recipe), 0), lab.data(recipe)
    found = []
    with Pool(1) as pool, tempfile.TemporaryDirectory() as place:
        for i in range(times + 1):
            folder = Path(place) / str(i)
            payload = {**lab.engine.train_payload(spec, data, folder), "steps": 1, "seed": i}
            submitted, fork = time.monotonic(), 0.0
            pool.submit(Task(str(i), TRAIN, payload, folder / "log.txt"))
            result: dict[str, Any] | None = None
            while result is None:
                for event in pool.poll(1.0):
                    if isinstance(event, Started):
                        fork = time.monotonic() - submitted
                    elif isinstance(event, Ended):
                        if event.result is None:
                            raise RuntimeError(f"{event.reason}: {event.detail}")
                        result = event.result
            if i:  # the first one waits for the pool to become warm
                found.append(fork + result["setup_seconds"] + result["seconds"])
    return found


def sweep(lab: Lab, recipe: Recipe, runs: int) -> dict[str, float]:
    """Wall seconds of `runs` seeds through the engine, and what of it was steps, judging and neither."""
    arm = lab.arm_of(recipe)
    lab.gather([(arm, 10**6)])  # the pool is warm, the text prepared
    began = time.monotonic()
    results = lab.gather([(arm, seed) for seed in range(runs)])
    wall_seconds = time.monotonic() - began
    if failed := [result for result in results if not result.ok]:
        raise RuntimeError(f"{failed[0].reason}: {failed[0].detail}")
    steps = sum(result.facts["seconds"] for result in results)
    scores = [lab.ledger.runs.score(result.id, result.split, lab.engine.protocol) for result in results]
    judging = sum(score["seconds"] for score in scores if score)
    cores = lab.engine.jobs
    return {
        "wall_seconds": wall_seconds,
        "steps_seconds": steps / cores,
        "judging_seconds": judging / cores,
        "overhead": cores * wall_seconds / steps - 1,
        "overhead_without_judging": (cores * wall_seconds - judging) / steps - 1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=BASELINE)
    parser.add_argument("--tokens", type=int, default=0, help="budget of each of the sweep's runs")
    parser.add_argument("--times", type=int, default=15, help="starts")
    parser.add_argument("--runs", type=int, default=8, help="of the sweep")
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    recipe = Recipe.load(options.recipe)
    if options.tokens:
        recipe = Recipe.from_dict({**recipe.to_dict(), "budget": {"tokens": options.tokens}})
    out = options.out and options.out.absolute()
    with tempfile.TemporaryDirectory() as place:
        os.environ["FOUNDRY_RUNS"] = place
        with Lab(Settings(jobs=options.jobs, device=options.device)) as lab:
            starts = start_seconds(lab, recipe, options.times)
            swept = sweep(lab, recipe, options.runs)
            jobs, device = lab.engine.jobs, lab.device
    rows = [
        {"what": "submit to first step, seconds", "median": median(starts), "most": max(starts)},
        *({"what": f"sweep of {options.runs}: {name}", "median": value, "most": None} for name, value in swept.items()),
    ]
    report("start", {"machine": machine(device), "jobs": jobs, "starts": starts, "sweep": swept}, rows, out)


if __name__ == "__main__":
    main()
