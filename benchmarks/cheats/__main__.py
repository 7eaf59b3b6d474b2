"""`python -m benchmarks.cheats`: the corpus against the judge, and what a plain evaluator would have reported.

Leaks and honest models, on fresh and on trained weights, over many seeds in the tier that runs use, and over a tenth of
them in the others; host attacks, and cheats that go for a promotion, once in each tier. Everything is tiny; it takes
one core about three quarters of an hour. Writes a JSON file a part (`--out`). Exit code 1 when a promise isn't kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import spending
from benchmarks.cheats import attacks, catalogue, measure, promotions, report, twins
from benchmarks.cheats.attacks import HARMFUL_WITHOUT_A_SANDBOX
from benchmarks.cheats.catalogue import Entry
from benchmarks.measuring import machine
from foundry import sandbox
from foundry.core import code
from foundry.core.files import write_json
from foundry.execute.untrusted.choose_tier import WARM
from foundry.recipe import Recipe
from foundry.sandbox import TIERS

CAUGHT_SHARE = 0.995
PARTS = ("spenders", "leaks", "zoo", "host", "promotions", "twins")
SEALED = ("spenders",)
"""Parts in which this process imports no workspace code, as none does that asks: they come first."""


def seeds_in(tier: str, tiers: Sequence[str], seeds: int) -> int:
    """All in the tier that runs use on this machine: how a model is seated changes nothing that it is asked."""
    main = WARM if WARM in tiers else tiers[0]
    return seeds if tier == main else max(1, seeds // 10)


def leaks(tiers: Sequence[str], seeds: int) -> dict[str, Any]:
    """The catch rate of each leak by tier, and what the plain evaluator reports."""
    honest = Entry("honest", catalogue.workspace("leaks"), {"layers": 1})
    rows = [
        row
        for tier in tiers
        for row in measure.rows([honest, *catalogue.leaks()], seeds_in(tier, tiers, seeds), "fp32", tier)
    ]
    tried = [row for row in rows if row.entry != "honest"]
    rates = {tier: measure.share([row for row in tried if row.tier == tier]) for tier in tiers}
    kept = all(refused >= CAUGHT_SHARE * of for refused, of in rates.values())
    return {"part": "leaks", "seeds": seeds, "promised": CAUGHT_SHARE, "caught": rates, "kept": kept, "rows": rows}


def zoo(tiers: Sequence[str], seeds: int) -> dict[str, Any]:
    """False alarms on honest models by tier, in both precisions; and how far judged and plain scores are apart."""
    seeds = max(1, seeds // 10)
    rows = [
        row
        for tier in tiers
        for precision in ("fp32", "bf16")
        for row in measure.rows(catalogue.zoo(), seeds_in(tier, tiers, seeds), precision, tier)
    ]
    alarms = {
        tier: {p: measure.share([r for r in rows if (r.tier, r.precision) == (tier, p)]) for p in ("fp32", "bf16")}
        for tier in tiers
    }
    gap = max((row.gap for row in rows if row.precision == "fp32"), default=0.0)
    kept = not any(row.refused for row in rows)
    return {"part": "zoo", "seeds": seeds, "alarms": alarms, "gap_bpb": gap, "kept": kept, "rows": rows}


def host(tiers: Sequence[str], seeds: int) -> dict[str, Any]:
    """What each attack came to in each tier and in the plain evaluator. `none` is the control: nothing holds there."""
    del seeds
    names, outcomes = attacks.names(), []
    with tempfile.TemporaryDirectory() as folder:
        for tier in tiers:
            safe = [name for name in names if tier != "none" or name != HARMFUL_WITHOUT_A_SANDBOX]
            for outcome in attacks.tried(Path(folder) / tier, tier, safe):
                print(f"{outcome.name} {tier}: {outcome.status[:80]}", file=sys.stderr, flush=True)
                outcomes.append(outcome)
        plain = {name: (said, harm) for name, said, harm in attacks.plainly(Path(folder) / "plain", names)}
    contained = {
        tier: [sum(o.contained for o in outcomes if o.tier == tier), sum(o.tier == tier for o in outcomes)]
        for tier in tiers
    }
    kept = all(held == of for tier, (held, of) in contained.items() if tier != "none")
    if "none" in contained:  # the control: the same check must see harm where there is harm
        kept &= contained["none"][0] < contained["none"][1]
    return {"part": "host", "contained": contained, "kept": kept, "outcomes": outcomes, "plain": plain}


def promoted(tiers: Sequence[str], seeds: int) -> dict[str, Any]:
    """What a sweep with promotion makes of each cheat and of an honest part, as it ships and in the control."""
    del seeds
    swept = []
    with tempfile.TemporaryDirectory() as folder:
        for found in promotions.swept(Path(folder) / "home", [tier for tier in tiers if tier != promotions.CONTROL]):
            print(f"{found.name} {found.tier}: {found.why[:80] or 'promoted'}", file=sys.stderr, flush=True)
            swept.append(found)
    return {"part": "promotions", "kept": all(each.kept for each in swept), "swept": swept}


def talking(tiers: Sequence[str], seeds: int) -> dict[str, Any]:
    """What contestants gain by telling each other what follows; without both layers is the control."""
    del seeds
    confined = [tier for tier in tiers if tier != "none"]
    with tempfile.TemporaryDirectory() as folder:
        tried = list(twins.tried(Path(folder), confined))
    return {"part": "twins", "kept": all(each.kept for each in tried), "talked": tried}


def spenders(tiers: Sequence[str], seeds: int) -> dict[str, Any]:
    """What code that spends more than it says is found to spend, at the size that ships; honest code is the control."""
    del seeds
    found = []
    for tier in (tier for tier in tiers if tier != "none"):
        with (
            tempfile.TemporaryDirectory() as folder,
            spending.home(Path(folder) / "home", tiny=False) as parts,
            spending.small_lab(tier) as lab,
        ):
            baseline = lab.arm_of(Recipe.load(Path("baseline.yaml")))
            for at, kind in parts:
                if kind in (*spending.CHEATS, *spending.HONEST):
                    found.append({"tier": tier, **vars(spending.spent(lab, baseline, at, kind, range(1)))})
                    print(f"{kind} {tier}: {found[-1]['ratios']}", file=sys.stderr, flush=True)
    kept = all(each["passed"] == (each["name"] in spending.HONEST) for each in found)
    return {"part": "spenders", "kept": kept, "spent": found}


MEASURES = {
    "leaks": leaks,
    "zoo": zoo,
    "host": host,
    "promotions": promoted,
    "twins": talking,
    "spenders": spenders,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cheats", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="of each leak; honest models get a tenth of them")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--tiers", nargs="+", choices=TIERS, help="by default, all that this machine has")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="folder for cheats-PART.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    here = sandbox.probe()
    os.environ.setdefault("FOUNDRY_CACHE", str(Path(tempfile.gettempdir()) / "foundry-cheats"))
    tiers = options.tiers or [tier for tier in reversed(TIERS) if here.at_least(tier)]
    print(f"This machine's best sandbox tier: {here.name}; tried: {', '.join(tiers)}")
    kept = True
    for part in PARTS:
        if options.only in (None, part):
            started = time.monotonic()
            if part not in SEALED:
                code.admit()  # leaks harm nobody but the score; what harms the machine runs in a sandbox of its own
            found = MEASURES[part](tiers, options.seeds)
            found |= {"seconds": round(time.monotonic() - started), "machine": machine()}
            report.show(found)
            write_json(options.out / f"cheats-{part}.json", report.to_json(found))
            kept &= found["kept"]
    print(f"\n{'all promises kept' if kept else 'A PROMISE IS BROKEN'}; {options.out}/cheats-*.json")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
