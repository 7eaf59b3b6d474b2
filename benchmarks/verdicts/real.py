"""The real half of the proof: `python -m benchmarks.verdicts.real [TABLE]` replays certifications of recorded runs.

TABLE is what record.py wrote, or any table of runs of recipes that differ in nothing that matters, as JSON
{label: {seed: bpb or null}} or CSV with columns recipe, seed, bpb (empty: the run failed) and group (without one, all
are no-ops). Of no-ops every promotion is false. Planted effects are replayed in planted.py.

A replay draws N of the common seeds in random order and, for each, two of the recipes' runs, one as baseline and one as
candidate; σ₀ comes from the seeds not drawn. Replays are independent given the table, so their interval is honest.
One table's labels also differ by chance, in every replay alike; so whether labels matter at all is a test of its own:
the rate with labels as recorded, against tables whose labels were shuffled within each seed. May not: train.

Shapes: R replays, N pairs, L labels (recipes), S seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.verdicts import pictures, planted, rules
from foundry.core.errors import RequestError
from foundry.core.files import write_json
from foundry.stats.noise_scale import DEFAULT_SIGMA0_BPB, FEWEST_RESIDUALS, NORMAL_MEDIAN
from foundry.stats.power import Floats

Table = dict[str, dict[int, float]]

NO_OPS = "no-op"
RESULTS = Path(__file__).parent / "results"
ALPHAS = (0.01, 0.05)


def read(path: Path, groups: Collection[str] = ()) -> Table:
    """The scores of recipes in `groups` (all, if none is named); NaN for a run that failed. Raises RequestError."""
    if path.suffix == ".json":
        rows = [
            (label, seed, bpb) for label, runs in json.loads(path.read_text()).items() for seed, bpb in runs.items()
        ]
    elif path.suffix == ".csv":
        with open(path, newline="") as file:
            rows = [
                (row["recipe"], row["seed"], row["bpb"] or None)
                for row in csv.DictReader(file)
                if not groups or row.get("group", NO_OPS) in groups
            ]
    else:
        raise RequestError("verdicts.bad_table", str(path), "a .json or .csv file", got=path.suffix)
    table: Table = {}
    for label, seed, bpb in rows:
        table.setdefault(label, {})[int(seed)] = float("nan") if bpb is None else float(bpb)
    return table


def scores(table: Table, pairs: int) -> Floats:
    """The table as an array (L, S) over the seeds that all recipes have. Raises RequestError when it is too small."""
    seeds = sorted(set.intersection(*(set(runs) for runs in table.values()))) if table else []
    if len(table) < 2 or len(seeds) < pairs:
        got = f"{len(table)} recipes, {len(seeds)} common seeds"
        raise RequestError("verdicts.small_table", "table", f"2 recipes and {pairs} common seeds at least", got=got)
    return np.array([[runs[seed] for seed in seeds] for _label, runs in sorted(table.items())])


def draw(
    scores_LS: Floats, replays: int, pairs: int, rng: np.random.Generator, shuffled: bool = True
) -> tuple[Floats, Floats, Floats]:
    """Baseline and candidate (R, N), σ₀ (R). Labels anew for each pair if `shuffled`, else one of each a replay."""
    labels, seeds = scores_LS.shape
    order_RS = np.argsort(rng.random((replays, seeds)), axis=1)
    base = rng.integers(0, labels, (replays, seeds if shuffled else 1))
    cand = (base + rng.integers(1, labels, base.shape)) % labels
    base_RS, cand_RS = scores_LS[base, order_RS], scores_LS[cand, order_RS]
    rest_RS = (base_RS - cand_RS)[:, pairs:]
    if rest_RS.shape[1] < FEWEST_RESIDUALS:
        return base_RS[:, :pairs], cand_RS[:, :pairs], np.full(replays, DEFAULT_SIGMA0_BPB)
    spread_R = np.nanmedian(np.abs(rest_RS - np.nanmedian(rest_RS, axis=1, keepdims=True)), axis=1) / NORMAL_MEDIAN
    return base_RS[:, :pairs], cand_RS[:, :pairs], np.where(spread_R > 0.0, spread_R, DEFAULT_SIGMA0_BPB)


def replay(scores_LS: Floats, replays: int, pairs: int, seed: int) -> list[dict[str, Any]]:
    """False promotions by rule and α, with 95 % intervals; for Foundry and the two controls."""
    rng = np.random.default_rng(seed)
    base_RN, cand_RN, sigma0_R = draw(scores_LS, replays, pairs, rng)
    finished = scores_LS[~np.isnan(scores_LS)]
    stored_RN = np.broadcast_to(rng.choice(finished, (replays, 1)), cand_RN.shape)  # a score on record, not run again
    rows = []
    for alpha in ALPHAS:
        by_rule = {
            "foundry": rules.certified(base_RN, cand_RN, alpha, pairs, sigma0_R)[0],
            "paired t, peeking": rules.peeking_t(base_RN - cand_RN, alpha)[0] & ~np.isnan(cand_RN).any(1),
            "stored baseline": rules.certified(stored_RN, cand_RN, alpha, pairs, finished.std() or 1.0)[0],
        }
        rows += [{"rule": rule, "alpha": alpha} | rules.rate_of(promoted_R) for rule, promoted_R in by_rule.items()]
    return rows


def labels_matter(scores_LS: Floats, replays: int, pairs: int, seed: int, tables: int = 99) -> dict[str, float]:
    """Foundry's rate at α = 0.05 with labels as recorded, and its p-value among tables shuffled within each seed."""
    rng = np.random.default_rng(seed)

    def rate(of_LS: Floats) -> float:
        base_RN, cand_RN, _sigma0_R = draw(of_LS, replays, pairs, rng, shuffled=False)
        return float(rules.certified(base_RN, cand_RN, 0.05, pairs, scale)[0].mean())

    scale = float(np.nanstd(scores_LS - np.nanmean(scores_LS, axis=0))) * np.sqrt(2.0) or DEFAULT_SIGMA0_BPB
    recorded = rate(scores_LS)
    others = [rate(rng.permuted(scores_LS, axis=0)) for _ in range(tables)]
    p_value = (1 + sum(other >= recorded for other in others)) / (1 + tables)
    return {"rate_as_recorded": recorded, "rate_shuffled": float(np.mean(others)), "p_value": p_value}


def claim(rows: list[dict[str, Any]], labels: dict[str, float]) -> dict[str, bool]:
    """Foundry's intervals reach α or below; both controls are beyond it at every α; no label stands out."""
    ours = [row for row in rows if row["rule"] == "foundry"]
    return {
        "foundry_at_most_alpha": all(row["rate"] <= row["alpha"] for row in ours),
        "foundry_consistent_with_alpha": all(row["interval"][0] <= row["alpha"] for row in ours),
        "controls_exceed_alpha": all(row["interval"][0] > row["alpha"] for row in rows if row not in ours),
        "labels_do_not_matter": labels["p_value"] > 0.01,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, nargs="?", default=RESULTS / "recorded.csv")
    parser.add_argument("--replays", type=int, default=200_000)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    try:
        scores_LS = scores(read(options.table, (NO_OPS,)), options.pairs)
        nudged = read(options.table, (NO_OPS, "nudge"))
        nudged = {name: runs for name, runs in nudged.items() if name in (planted.BASELINE, *planted.NUDGES)}
        effects = planted.report(read(options.table), options.replays, options.pairs, options.seed)
    except RequestError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    rows = replay(scores_LS, options.replays, options.pairs, options.seed)
    nudges = replay(scores(nudged, options.pairs), options.replays, options.pairs, options.seed) if nudged else []
    labels = labels_matter(scores_LS, options.replays // 100, options.pairs, options.seed)
    report = {
        "command": f"python -m benchmarks.verdicts.real {options.table.name}",
        "recipes": scores_LS.shape[0],
        "seeds": scores_LS.shape[1],
        "noise_bpb": float(np.nanstd(scores_LS, axis=1, ddof=1).mean()),
        "claim": claim(rows, labels),
        "replays": rows,
        "replays_of_nudges": nudges,
        "labels": labels,
        "planted": effects,
    }
    write_json(options.out / "real.json", report)
    pictures.replays(rows, options.out / "real.png")
    print(json.dumps(report, indent=2))
    return 0 if report["claim"]["foundry_consistent_with_alpha"] else 1


if __name__ == "__main__":
    sys.exit(main())
