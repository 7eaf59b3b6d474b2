"""`python -m benchmarks.cheats`: the corpus against the judge, and what a plain evaluator would have reported.

Leaks and honest models on trained and on fresh weights over many seeds; host attacks once for each tier that this
machine has. Everything is tiny; on one core it takes some minutes. Exit code 1 when a promise isn't kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.cheats import attacks, catalogue, trial
from benchmarks.cheats.attacks import HARMFUL_WITHOUT_A_SANDBOX, Outcome
from benchmarks.cheats.catalogue import Entry
from benchmarks.cheats.plain import Report
from foundry.core import code
from foundry.judge import sandbox

STEPS = 40
CAUGHT_SHARE = 0.995
FOOLED_BPB = 0.05  # a plain evaluator that reports so much less than for the honest model was taken in
STATES = {"fresh": 0, "trained": STEPS}


@dataclass
class Row:
    """One entry in one state and precision over all seeds. bpb: what was judged, None where it was refused."""

    entry: Entry
    state: str
    precision: str
    bpb: list[float | None]
    why: list[str]
    plain: list[float]

    @property
    def refused(self) -> int:
        return sum(each is None for each in self.bpb)


def rows(entries: Sequence[Entry], seeds: int, precision: str = "fp32") -> list[Row]:
    """Each entry fresh and trained, over `seeds` seeds; one line a row on stderr while it goes."""
    found = []
    for entry in entries:
        for state, steps in STATES.items():
            row = Row(entry, state, precision, [], [], [])
            with trial.workspace(entry.workspace):
                for seed in range(seeds):
                    with tempfile.TemporaryDirectory() as folder:
                        job = trial.prepare(entry, Path(folder), seed, steps, precision)
                        row.plain.append(trial.plain_bits_per_byte(job, seed))
                        bpb, why = trial.judged(job, seed)
                    row.bpb.append(bpb)
                    row.why.append(why)
            found.append(row)
            print(f"{entry.name} {state} {precision}: {row.refused} of {seeds} refused", file=sys.stderr, flush=True)
    return found


def leaks(seeds: int) -> bool:
    """Print the catch rate of each leak; whether it is what is promised."""
    honest = {row.state: fmean(row.plain) for row in rows([Entry("honest", catalogue.LEAKS, {"layers": 1})], seeds)}
    found = rows(catalogue.leaks(), seeds)
    print(f"\nLeaks: {len(found) // 2}, {seeds} seeds each. A plain evaluation of the honest model reports "
          f"{honest['fresh']:.2f} bits per byte fresh, {honest['trained']:.2f} trained.")  # fmt: skip
    print(f"{'':38}{'caught':>9}{'caught':>9}   plain evaluation reports")
    print(f"{'':38}{'fresh':>9}{'trained':>9}   fresh       trained")
    for fresh, trained in zip(found[::2], found[1::2], strict=True):
        reports = [_reported(fmean(row.plain), honest[row.state]) for row in (fresh, trained)]
        caught = "".join(f"{row.refused:>6}/{seeds:<2}" for row in (fresh, trained))
        print(f"{fresh.entry.name:38}{caught}   {reports[0]:12}{reports[1]}")
    for row in found:
        for bpb, why in zip(row.bpb, row.why, strict=True):
            if bpb is not None:
                print(f"  not caught: {row.entry.name} {row.state}, judged at {bpb:.4f} {why}")
    caught, tried = sum(row.refused for row in found), seeds * len(found)
    print(f"caught {caught} of {tried} ({caught / tried:.2%}; promised: {CAUGHT_SHARE:.1%})")
    return caught >= CAUGHT_SHARE * tried


def zoo(seeds: int) -> bool:
    """Print the false alarms on honest models, in both precisions; whether there are none."""
    found = [row for precision in ("fp32", "bf16") for row in rows(catalogue.zoo(), seeds, precision)]
    gaps = [
        abs(bpb - plain)
        for row in found
        if row.precision == "fp32"
        for bpb, plain in zip(row.bpb, row.plain, strict=True)
        if bpb is not None
    ]
    alarms = [(row, why) for row in found for why in row.why if why]
    print(f"\nHonest models: {len(catalogue.zoo())}, fp32 and bf16, fresh and trained, {seeds} seeds each.")
    for row, why in alarms:
        print(f"  FALSE ALARM {row.entry.name} {row.state} {row.precision}: {why}")
    print(f"false alarms {len(alarms)} of {seeds * len(found)}; "
          f"judged and plain bits per byte differ by {max(gaps):.1e} at most (fp32)")  # fmt: skip
    return not alarms


def host(tiers: Sequence[str]) -> bool:
    """Print what each attack came to at each tier and in the plain evaluator; whether all real tiers held."""
    names, outcomes = attacks.names(), {}
    with tempfile.TemporaryDirectory() as folder:
        for tier in tiers:
            safe = [name for name in names if tier != "none" or name != HARMFUL_WITHOUT_A_SANDBOX]
            for outcome in attacks.tried(Path(folder) / tier, tier, safe):
                print(f"{outcome.name} {tier}: {outcome.status[:80]}", file=sys.stderr, flush=True)
                outcomes[outcome.name, tier] = outcome
        plain = {name: (report, harm) for name, report, harm in attacks.plainly(Path(folder) / "plain", names)}
    honest = plain["honest"][0]
    print(f"\nHost attacks: {len(names)}. The plain evaluator reports {honest.val_bpb or 0:.2f} for the honest model.")
    print(f"{'':24}" + "".join(f"{tier:26}" for tier in tiers) + "plain evaluator")
    for name in names:
        cells = "".join(f"{_came_to(outcomes.get((name, tier))):26}" for tier in tiers)
        print(f"{name:24}{cells}{_plainly(name, *plain[name], honest)}")
    held = True
    for tier in tiers:
        ours = [outcome for (_, t), outcome in outcomes.items() if t == tier]
        contained = sum(outcome.contained for outcome in ours)
        print(f"{tier}: contained {contained} of {len(ours)}")
        held &= tier == "none" or contained == len(ours)
    return held


def _reported(bpb: float, honest: float) -> str:
    return f"{bpb:.2f}{' fooled' if bpb < honest - FOOLED_BPB else ''}"


def _came_to(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not tried"
    if outcome.harm:
        return "HARM: " + outcome.harm[0][:18]
    return "honest score" if outcome.bpb is not None else outcome.status.partition(":")[0][:14] + ", no score"


def _plainly(name: str, report: Report, harm: list[str], honest: Report) -> str:
    """What the plain evaluator made of an attack, in a few words."""
    found = list(harm)
    if report.val_bpb is not None and honest.val_bpb is not None and report.val_bpb < honest.val_bpb - FOOLED_BPB:
        found.append(f"fooled: reports {report.val_bpb:.2f}")
    if report.seconds is not None and report.seconds <= 0:
        found.append(f"fooled: reports {report.seconds:.0f} s")
    if name == "unnormalised" and report.as_given is not None:
        found.append(f"taking outputs for log-probabilities: {report.as_given:.2f}")
    if not found and report.val_bpb is None:
        found.append(f"no report: {report.ended}")
    return "; ".join(found) or "an honest report"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cheats", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="of each leak; honest models get a tenth of them")
    parser.add_argument("--only", choices=("leaks", "zoo", "host"), help="one part")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    code.admit()  # leaks harm nobody but the score; what harms the machine runs in the engine's own sandbox
    started, tier = time.monotonic(), sandbox.probe()
    os.environ.setdefault("FOUNDRY_CACHE", str(Path(tempfile.gettempdir()) / "foundry-cheats"))
    print(f"This machine's sandbox tier: {tier.name}")
    tiers = ["landlock", "none"] if tier.at_least("landlock") else ["none"]
    parts = {
        "leaks": lambda: leaks(options.seeds),
        "zoo": lambda: zoo(max(1, options.seeds // 10)),
        "host": lambda: host(tiers),
    }
    kept = [part() for name, part in parts.items() if options.only in (None, name)]
    print(f"\n{time.monotonic() - started:.0f} s; {'all promises kept' if all(kept) else 'A PROMISE IS BROKEN'}")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
