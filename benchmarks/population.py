"""Populations against one run a process, and what the scheduler makes of it.

    python benchmarks/population.py [--device cpu] [--jobs 2]

For each shape and number of runs: members' steps a second over all processes, first with a run in each, then with
populations that share all runs out evenly, measured in turn and in all processes at once; then the width that the
scheduler chooses by its own short measurement from an empty cache, and how far that is from the better of the two.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import in_turn, machine, median, report
from foundry.core import yaml_io
from foundry.execute.local import Ended, Pool, Task
from foundry.execute.pack_populations import MEASURE, PopulationPacker
from foundry.recipe import Recipe
from foundry.train.worker import pack

BASELINE = Path(__file__).parents[1] / "experiments" / "baseline.yaml"
STEPS = 100_000  # of each run, so that the scheduler finds measuring worth its while


@dataclass(frozen=True)
class Case:
    name: str
    runs: int
    changes: dict[str, Any]


TINY = {"layers": 2, "width": 32, "context": 16, "batch_size": 1}
CASES = (
    Case("context 64, batch 12, width 128", 32, {}),
    Case("context 64, batch 12, width 128", 128, {}),
    Case("context 64, batch 12, width 32", 32, {"width": 32}),
    Case("context 16, batch 1, width 32", 128, TINY),
)


def payloads(case: Case, device: str, jobs: int) -> list[dict[str, Any]]:
    """Runs that differ in seed and learning rate."""
    plain = Recipe.from_dict(yaml_io.load(BASELINE)).to_dict()
    for name, value in case.changes.items():
        plain["train" if name in plain["train"] else "model"][name] = value

    def payload(i: int) -> dict[str, Any]:
        optimizer = {**plain["train"]["optimizer"], "lr": 1e-3 * (1 + i % 4)}
        return {
            "model": plain["model"],
            "train": {**plain["train"], "optimizer": optimizer},
            "seed": i,
            "steps": STEPS,
            "vocab_size": 65,
            "train_dir": "",
            "out": f"{i}",
            "device": device,
            "threads": max(1, (os.cpu_count() or 1) // jobs),
        }

    return [payload(i) for i in range(case.runs)]


class Bench:
    """A warm pool that measures in every process at once."""

    def __init__(self, pool: Pool, device: str, place: Path, seconds: float) -> None:
        self.pool, self.device, self.place, self.seconds = pool, device, place, seconds

    def results(self, tasks: list[tuple[str, dict[str, Any]]]) -> list[Ended]:
        for id, payload in tasks:
            self.pool.submit(Task(id, MEASURE, payload, self.place / "log.txt"))
        ended: list[Ended] = []
        while len(ended) < len(tasks):
            ended += [event for event in self.pool.poll(1.0) if isinstance(event, Ended)]
        return ended

    def rate(self, runs: list[dict[str, Any]], width: int) -> float:
        """Members' steps a second over all processes, each with a population of `width`."""
        payload = {"jobs": pack(runs[:width]), "widths": [width], "seconds": self.seconds}
        ended = self.results([(f"rate{i}", payload) for i in range(self.pool.jobs)])
        for end in ended:
            if end.result is None:
                raise RuntimeError(f"{end.reason}: {end.detail}")
        return sum(end.result["rates"][str(width)] for end in ended if end.result)

    def choice(self, runs: list[dict[str, Any]]) -> int:
        """The widest population that the scheduler forms of these runs."""
        arranger: PopulationPacker[int] = PopulationPacker(self.pool.jobs, self.device)
        for i, run in enumerate(runs):
            arranger.put(i, f"run{i}", run)
        orders = arranger.orders()
        if not orders[0].items:
            for end in self.results([(order.id, order.payload) for order in orders]):
                arranger.parts(end)
            orders = arranger.orders()
        return max(len(order.items) for order in orders)

    def row(self, case: Case, rounds: int) -> dict[str, Any]:
        runs = payloads(case, self.device, self.pool.jobs)
        wide = math.ceil(case.runs / self.pool.jobs)
        chosen = self.choice(runs)
        widths = sorted({1, wide, chosen})
        found = in_turn({str(width): lambda width=width: self.rate(runs, width) for width in widths}, rounds)
        rates = {width: median(found[str(width)]) for width in widths}
        return {
            "shape": case.name,
            "runs": case.runs,
            "one a process": rates[1],
            "populations": rates[wide],
            "width": wide,
            "chosen width": chosen,
            "chosen": rates[chosen],
            "chosen / better": rates[chosen] / max(rates[1], rates[wide]),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=0, help="processes; one a core on a CPU, one on an accelerator")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long a rate is measured, at least")
    parser.add_argument("--runs", type=int, default=0, help="at most so many runs in a case, for a quick look")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    jobs = options.jobs or (os.cpu_count() or 1 if options.device == "cpu" else 1)
    cases = [Case(case.name, min(case.runs, options.runs or case.runs), case.changes) for case in CASES]
    with tempfile.TemporaryDirectory() as place:
        os.environ["FOUNDRY_CACHE"] = place  # the scheduler knows nothing yet
        with Pool(jobs) as pool:
            bench = Bench(pool, options.device, Path(place), options.seconds)
            rows = [bench.row(case, options.rounds) for case in cases]
    report("population", {"machine": machine(options.device), "jobs": jobs}, rows, options.out)


if __name__ == "__main__":
    main()
