"""Records the real half of the proof: `python -m benchmarks.verdicts.record` trains what real.py replays.

Tiny real runs through the ordinary engine: no-ops of one recipe, planted handicaps of the baseline, plants that must
not be promoted, and an architecture that needs another learning rate. Writes results/recorded.csv, after every few
runs; started again it goes on where it was, and a row that is in the table is not trained again.

One thread a run, whatever runs beside it: the table's bits depend on the machine's kind and nothing else.
May not: judge, or read a run of the user's (its ledger is in a folder of its own).
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from foundry.compare.calibrate import candidate_arm
from foundry.compare.session import Lab, Settings
from foundry.core import places
from foundry.core.files import write_atomic
from foundry.mutate import mutate
from foundry.recipe import Recipe

HERE = Path(__file__).parent
TABLE = HERE / "results" / "recorded.csv"
COLUMNS: tuple[str, ...] = ("group", "recipe", "seed", "run_seed", "bpb", "failure", "tokens", "seconds")
SPLIT = "certification"
SAVE_EVERY = 20


@dataclass(frozen=True)
class Planted:
    """One recipe of the table: a mutation of tiny.yaml ("" for itself), and what it is there for."""

    group: str
    label: str
    mutation: str = ""
    first_seed: int = 1
    seeds: int = 60


LR = "set:train.optimizer.lr="
LARGE = "set:model.width=96+set:model.layers=3+"
PLANTED = (
    Planted("no-op", "baseline"),
    *(Planted("no-op", f"reseeded {i}", first_seed=1_000_000 * i + 1) for i in (1, 2, 3)),
    Planted("nudge", "lr × 1.0001", LR + "0.0120012"),
    Planted("nudge", "init_std × 1.0001", "set:model.init_std=0.10001"),
    Planted("nudge", "weight_decay × 1.0001", "set:train.optimizer.weight_decay=0.10001"),
    Planted("nudge", "eps × 2", "set:train.optimizer.eps=2e-8"),
    *(
        Planted("fresh", f"{name}, fresh", m, 61, 140)
        for name, m in (("baseline", ""), ("lr × 1.0001", LR + "0.0120012"))
    ),
    Planted("handicap", "lr / 3", LR + "0.004"),
    Planted("handicap", "no warmup", "set:train.schedule.warmup=0.0"),
    Planted("handicap", "no positions", "set:model.position={kind: none}"),
    Planted("handicap", "beta2 0.5", "set:train.optimizer.betas=[0.9, 0.5]"),
    Planted("harmful", "focal loss", "set:train.loss={kind: focal}"),
    *(Planted("tuning", f"baseline, lr × {k}", LR + f"{0.012 * k:g}", seeds=24) for k in (0.5, 2)),
    *(Planted("tuning", f"large, lr × {k}", LARGE + LR + f"{0.012 * k:g}", seeds=24) for k in (0.5, 1, 2)),
)


def recorded(path: Path) -> dict[tuple[str, int], dict[str, str]]:
    """(label, seed) → row, of the table so far."""
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        return {(row["recipe"], int(row["seed"])): row for row in csv.DictReader(file)}


def record(path: Path, planted: tuple[Planted, ...], jobs: int) -> None:
    """Train what is missing of each recipe's seeds, seed by seed, so that a table that is cut off early is whole."""
    rows = recorded(path)
    asked = [(each, i) for i in range(max(each.seeds for each in planted)) for each in planted if i < each.seeds]
    missing = [(each, i) for each, i in asked if (each.label, i + 1) not in rows]
    with Lab(Settings(jobs=os.cpu_count() or 1, device="cpu"), say=_say) as lab:
        baseline = lab.arm_of(Recipe.load(HERE / "tiny.yaml"))
        arms = {}
        for each in planted:
            recipe = mutate(baseline.recipe, each.mutation)[0] if each.mutation else baseline.recipe
            arms[each.label] = candidate_arm(lab, baseline, recipe, "tokens", each.label)[0]
        owners: dict[str, tuple[Planted, int]] = {}
        done = 0
        while missing or lab.engine.busy:
            while missing and lab.engine.busy < jobs:
                each, i = missing.pop(0)
                owners[lab.ask(arms[each.label], each.first_seed + i, SPLIT).id] = (each, i)
            for result in lab.engine.wait():
                each, i = owners[result.id]
                rows[each.label, i + 1] = {
                    "group": each.group,
                    "recipe": each.label,
                    "seed": str(i + 1),
                    "run_seed": str(result.spec.seed),
                    "bpb": "" if result.bpb is None else repr(result.bpb),
                    "failure": result.reason or "",
                    "tokens": str(result.spec.budget_tokens),
                    "seconds": str(result.facts.get("seconds") or ""),
                }
                done += 1
                if done % SAVE_EVERY == 0 or not (missing or lab.engine.busy):
                    _write(path, rows)
                    _say(f"{done} runs recorded, {len(missing)} to come")


def _write(path: Path, rows: dict[tuple[str, int], dict[str, str]]) -> None:
    """The table in the order of PLANTED and of seeds, whatever finished first, without what is no longer planted."""
    order = {each.label: i for i, each in enumerate(PLANTED)}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    planted = [row for row in rows.values() if row["recipe"] in order]
    writer.writerows(sorted(planted, key=lambda row: (order[row["recipe"]], int(row["seed"]))))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.getvalue())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="one group: no-op, nudge, fresh, handicap, harmful or tuning")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--runs", type=Path, default=places.runs() / "recorded", help="the folder of these runs")
    options = parser.parse_args(arguments)
    os.environ["FOUNDRY_RUNS"] = str(options.runs)
    record(options.table, tuple(each for each in PLANTED if options.only in ("", each.group)), options.jobs)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
