"""The simulated half of the proof: `python -m benchmarks.verdicts.simulate` writes results/*.json and *.png.

Campaigns of no-ops and of mixtures under six noises, for Foundry and for what others do; power; tails. One core,
a few minutes; `--quick` for a look in seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.verdicts import campaign, noise, pictures, power_curves, tails
from foundry.core.files import write_json
from foundry.stats.error_budget import Budget

RESULTS = Path(__file__).parent / "results"
Q = 0.10


def campaigns(count: int, tests: int, seed: int) -> list[dict[str, Any]]:
    """Foundry under every noise and proposer; other rules under every noise for no-ops, under normal for the rest.

    Foundry's no-op campaigns are five times as many: unguarded it nearly reaches q, and that takes many to see.
    """
    rows = []
    for proposer in campaign.PROPOSERS:
        for kind in noise.KINDS:
            for rule in campaign.RULES:
                ours = rule in ("foundry", "foundry, unguarded")
                if not ours and proposer != "no-ops" and kind != "normal":
                    continue
                many = 5 * count if ours and proposer == "no-ops" else count
                tally = campaign.run(rule, kind, proposer, many, tests, seed + len(rows), Budget(q=Q))
                row = {"proposer": proposer, "noise": kind, "rule": rule, "campaigns": many, "tests": tests}
                rows.append(row | tally.summary())
                _say(f"{proposer:9} {kind:15} {rule:25} sup FDP {row_text(rows[-1])}")
    return rows


def controls(count: int, tests: int, seed: int) -> list[dict[str, Any]]:
    """No-ops under the three policies of the budget, normal noise."""
    rows = []
    for control in ("fdr", "fwer", "per-comparison"):
        budget = Budget(control=control, q=Q if control != "per-comparison" else 0.01)
        for proposer in ("no-ops", "mixed"):
            tally = campaign.run("foundry, unguarded", "normal", proposer, count, tests, seed, budget)
            rows.append({"control": control, "q": budget.q, "proposer": proposer} | tally.summary())
    return rows


def seasons(count: int, tests: int, seed: int) -> dict[str, Any]:
    """No-ops for so long that seasons end: the bound is each season's own, and this shows what several add up to."""
    rows = {}
    for max_pairs in (12, 16, 24):
        budget = Budget(q=Q, max_pairs=max_pairs)
        tally = campaign.run("foundry, unguarded", "normal", "no-ops", count, tests, seed, budget)
        rows[str(max_pairs)] = tally.summary()
    return {"tests": tests, "campaigns": count, "by_max_pairs": rows}


def claim(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The claim, checked: under every symmetric noise Foundry within q, guarded or not, and each control beyond."""
    symmetric = [row for row in rows if row["noise"] in noise.SYMMETRIC]
    ours = [row for row in symmetric if row["rule"] in ("foundry", "foundry, unguarded")]
    others = [row for row in symmetric if row not in ours and row["proposer"] == "no-ops"]
    worst = max(ours, key=lambda row: row["sup_fdp"])
    skewed = [row for row in rows if row["noise"] in noise.SKEWED and row["rule"].startswith("foundry")]
    return {
        "q": Q,
        "worst_of_foundry": {key: worst[key] for key in ("rule", "proposer", "noise", "sup_fdp", "sup_fdp_error")},
        "foundry_within_q": all(row["sup_fdp"] <= Q for row in ours),
        "controls_beyond_q": all(row["sup_fdp"] > Q for row in others),
        "under_skew": {f"{row['rule']}, {row['proposer']}": round(row["sup_fdp"], 4) for row in skewed},
    }


def row_text(row: dict[str, Any]) -> str:
    return (
        f"{row['sup_fdp']:.3f} ± {row['sup_fdp_error']:.3f}  false {row['false_per_campaign']:6.2f}"
        f"  recall {row['recall']:.2f}  pairs/test {row['pairs_per_test']:.1f}"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaigns", type=int, default=2000, help="replicates of each campaign")
    parser.add_argument("--tests", type=int, default=400, help="tests in each campaign")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    scale = 10 if options.quick else 1
    count, replicates, started = options.campaigns // scale, 40_000 // scale, time.perf_counter()
    rows = campaigns(count, options.tests // scale, options.seed)
    report = {
        "command": "python -m benchmarks.verdicts.simulate",
        "options": {"campaigns": count, "tests": options.tests // scale, "seed": options.seed},
        "claim": claim(rows),
        "campaigns": rows,
        "controls": controls(count, options.tests // scale, options.seed),
        "seasons": seasons(count, 5 * options.tests // scale, options.seed),
        "power": [power_curves.curves(alpha, 12, replicates, options.seed) for alpha in (0.01, 0.05)],
        "power_by_alpha": power_curves.by_alpha(replicates, options.seed),
        "words": power_curves.words(0.01, 12, replicates // 8, options.seed),
        "tails": {str(alpha): tails.table(alpha, 12, replicates, options.seed) for alpha in (0.01, 0.05)},
        "wall_seconds": round(time.perf_counter() - started, 1),
    }
    write_json(options.out / "simulated.json", report)
    pictures.campaigns(rows, Q, options.out / "campaigns.png")
    pictures.power(report["power"], power_curves.REQUIRED, options.out / "power.png")
    print(json.dumps(report["claim"], indent=2))
    return 0 if report["claim"]["foundry_within_q"] and report["claim"]["controls_beyond_q"] else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
