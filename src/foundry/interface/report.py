"""What people read on stdout: tables and sentences made from the documents that `--json` prints. May not: compute."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from foundry.core import places
from foundry.documents import budget as budgets
from foundry.documents import comparison as comparisons
from foundry.documents import recipes, runs
from foundry.documents import sweep as sweeps
from foundry.interface.terminal import console, table
from foundry.ledger.weights import RULE

NO_RUN = comparisons.ArmRun(run="", seed=0, status="", val_bpb=None)


def run(document: runs.Trained) -> None:
    """One trained run."""
    if document.status != "done":
        console.print(f"run {document.run[:12]} failed: {document.reason}: {document.detail}")
        return
    table(
        "",
        ("run", "bits per byte", "train loss", "tokens", "FLOPs", "seconds", "seed"),
        [
            (
                document.run[:12],
                number(document.val_bpb),
                number(document.train_loss),
                f"{document.tokens or 0:,}",
                flops(document.flops or 0.0),
                f"{document.seconds or 0.0:.1f}",
                str(document.seed),
            )
        ],
    )
    console.print(f"\nNext: foundry sample {document.run[:12]} · foundry show {document.run[:12]}")


def sweep(document: sweeps.Sweep) -> None:
    """The ranked table, the verdict in words, and where to look next."""
    baseline = document.baseline
    rows = [("", "baseline", number(baseline.val_bpb), "", "", "")]
    for rank, candidate in enumerate(document.candidates, 1):
        failed = candidate.status == "failed"
        rows.append(
            (
                "" if failed else str(rank),
                candidate.mutation,
                number(candidate.val_bpb),
                signed(candidate.gain_bpb),
                f"{candidate.budget_tokens:,}" if not failed and candidate.budget_tokens else "",
                f"failed: {candidate.reason}" if failed else "",
            )
        )
    table("Screening (ranks, decides nothing)", ("", "candidate", "bits per byte", "gain", "tokens", ""), rows)
    for candidate in document.candidates:
        if candidate.status == "failed":
            console.print(f"  {candidate.mutation}: {candidate.detail}")
    for name in document.unchanged:
        console.print(f"  {name}: is the baseline already")
    for line in document.settled:
        console.print(f"Before this: {line}.")
    console.print()
    if document.against_tuned:
        console.print(document.against_tuned.says)
    if document.verdict:
        grounds(document.verdict)
        console.print(document.verdict.says)
    if document.promotion and (record := document.record):
        promotion = document.promotion[:12]
        console.print(f"Promoted: {document.promoted} is the new {baseline.file} (promotion {promotion}).")
        sealed = " → ".join(number(score) for score in record.test_bpb or ())
        told = f"{sealed} bits per byte" if sealed else f"no score, {record.test_why}"
        console.print(f"On the sealed test split: {told}.")
    else:
        console.print(f"Nothing promoted: {document.why}.")
    if document.verdict:
        console.print(f"Report: {document.verdict.report}")
    console.print(f"Next: foundry log · {lineage_of(baseline.file)} · foundry diff A B")


def lineage_of(file: str) -> str:
    """The command that shows how this baseline came to be."""
    return "foundry lineage" + ("" if file == str(places.baseline()) else f" {shlex.quote(file)}")


def comparison(document: comparisons.Comparison) -> None:
    """Both arms seed by seed, then the verdict in words."""
    first, second = document.arms
    rows = []
    for a, b in zip_longest(first.runs, second.runs, fillvalue=NO_RUN):
        gain = signed(a.val_bpb - b.val_bpb) if a.val_bpb is not None and b.val_bpb is not None else ""
        rows.append((str((a if a.run else b).seed), score(a), score(b), gain))
    table("bits per byte, lower is better", ("seed", first.name, second.name, "gain"), rows)
    console.print()
    grounds(document)
    console.print(document.says)
    if asked := document.asked:  # a certification, which the error budget corrects, has none
        times = "once" if asked == 1 else f"{asked} times"
        console.print(f"Not corrected for how often it is asked; of this pair {times} so far.")
    console.print(f"Report: {document.report}")


def grounds(document: comparisons.Comparison) -> None:
    """Under what terms a verdict was given: what each arm used in all three currencies, its tuning, the pairing."""
    terms = [
        f"{arm.budget_tokens:,} tokens, {flops(arm.budget_flops)}FLOP, {seconds(arm.run_seconds)}"
        for arm in document.arms
    ]
    lines = [f"A run, matched in {document.match}: {terms[0]} against {terms[1]}."]
    ours, theirs = (arm.reference for arm in document.arms)
    if ours and theirs and (ours.steps_beyond or theirs.steps_beyond):
        beyond = f"{ours.steps_beyond:+.2f} and {theirs.steps_beyond:+.2f} steps"
        lines.append(f"Beyond the reference of {flops(ours.flops)}FLOP: {beyond}.")
    spent = [f"{seconds(arm.cost.seconds)}" for arm in document.arms]
    lines.append(f"All runs of this test, tuning included: {spent[0]} against {spent[1]}.")
    if calibration := document.calibration:
        timing = calibration.timing
        steps = timing.baseline_step_seconds * 1e3, timing.candidate_step_seconds * 1e3
        lines.append(
            f"Timed one at a time: {steps[0]:.3g} ms a step against {steps[1]:.3g} ms, repeats within "
            f"{timing.drift:.1%}, {len(calibration.voided_drifts)} measurements void."
        )
    for arm in document.tuning.arms if document.tuning else ():
        tries = ", ".join(f"× {each.factor:g} {number(each.val_bpb) or 'failed'}" for each in arm.tries)
        lines.append(f"Learning rate of {arm.name}: {tries}; × {arm.factor:g} kept.")
    if second := document.second_text:
        lines.append(f"On a second text, {second.source or 'of which there is none'}: {second.says}.")
    if document.correlation is not None:
        lines.append(f"Correlation between the paired runs: {document.correlation:.2f}.")
    for line in filter(None, (*lines, document.caveat)):
        console.print(line)


def pair_line(say: Callable[[str], None]) -> Callable[[Any, Any, Any], None]:
    """Says one line for each pair of runs that a test has complete."""
    seen = 0

    def line(baseline: Any, candidate: Any, plan: Any) -> None:
        nonlocal seen
        seen += 1
        both = baseline.ok and candidate.ok
        gain = f"gain {baseline.bpb - candidate.bpb:+.4f}" if both else "no gain: a run failed"
        say(f"pair {seen} of at most {plan.max_pairs}: {gain}")

    return line


def catalogue(document: recipes.Catalogue) -> None:
    for family in document.families:
        console.print(family.family, style="bold", end="  ")
        console.print(family.what)
        for variant in family.variants:
            console.print(f"  {variant.name:<16} {variant.what or variant.says}")
        if family.also:
            console.print(f"  also: {family.also}")
    console.print("\nWrite one with: foundry mutate FAMILY VARIANT; stack with +: attention:gqa_2kv+norm:rmsnorm")


def mutation(document: recipes.Mutated) -> None:
    for edit in document.edits:
        console.print(f"  {edit.path}: {plain(edit.old)} → {plain(edit.new)}")
    if not document.edits:
        console.print("  no change: this is the baseline already")
    console.print(f"Wrote {document.file}")
    console.print(f"Next: foundry compare {document.baseline} {document.file}")


def reverted(document: budgets.Reverted) -> None:
    for line in document.settled:
        console.print(f"Before this: {line}.")
    console.print(f"{document.file} is {document.to_recipe[:12]} again (it was {document.from_recipe[:12]}).")


def initialized(document: recipes.Initialized) -> None:
    console.print(f"Started a project that trains on {document.source}:")
    for file in document.files:
        console.print(f"  {file}")
    console.print("Next:")
    for command in document.next:
        console.print(f"  {command}")


def skill(document: recipes.Skill) -> None:
    console.print(f"Wrote {document.file}" if document.file else document.text)


def data(document: recipes.Prepared) -> None:
    rows = [
        (name, *(f"{count:,}" for count in (split.documents, split.bytes, split.tokens)))
        for name, split in document.splits.items()
    ]
    table(f"{document.source}, {document.vocab_size} tokens", ("split", "documents", "bytes", "tokens"), rows)
    console.print(f"Prepared in {document.train_dir}; the judge's splits apart from it.")
    passed = document.passed_over
    if passed.null or passed.bad:
        first = f"; the first: {passed.first_bad}" if passed.bad else ""
        console.print(f"Passed over {passed.null} nulls and {passed.bad} that can't be read{first}")
    console.print(f"Next: {'; '.join(document.next)}")


def kinds(document: recipes.Kinds) -> None:
    for slot, parts in document.slots.items():
        console.print(slot, style="bold")
        for kind, what in {**parts, **document.workspace.get(slot, {})}.items():
            console.print(f"  {kind:<16} {what}")


def seconds(value: float | None) -> str:
    return "no time known" if value is None else f"{value:.3g} s" if value < 100 else f"{value:,.0f} s"


def flops(value: float) -> str:
    """In the unit that fits: 1.84e14 as 184 T."""
    unit = next((unit for unit in "EPTGMk" if value >= SIZES[unit]), "")
    return f"{value / SIZES[unit]:.3g} {unit}".strip()


SIZES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"


def score(run: comparisons.ArmRun) -> str:
    return number(run.val_bpb) if run.val_bpb is not None else run.status


def log(document: runs.Log) -> None:
    """Runs, newest first, and what their weights take."""
    weights = document.weights
    table(
        "",
        ("run", "recipe", "seed", "status", "bpb", "tokens", "seconds"),
        [
            (
                row.run[:12],
                row.name or row.recipe[:12],
                str(row.seed)[-8:],
                row.reason or row.status,
                number(row.certification_bpb) + "*" if _is_certification(row) else number(row.val_bpb),
                f"{row.tokens:,}" if row.tokens else "",
                f"{row.seconds:.1f}" if row.seconds is not None else "",
            )
            for row in document.runs
        ],
    )
    if any(map(_is_certification, document.runs)):
        console.print("* bits per byte of certification text; of validation text everywhere else")
    if not document.runs:
        start = "No runs yet. Start with: foundry sweep position rope alibi --promote"
        console.print("No run of those asked for." if document.filtered else start)
    if weights.runs:
        taken = f"{weights.bytes / 1e6:,.1f} MB"
        console.print(f"\nWeights of {weights.runs} runs on the disk, {taken}: {RULE}.")


def _is_certification(row: runs.RunRow) -> bool:
    """Whether the only score of a run is on certification text."""
    return row.val_bpb is None and row.certification_bpb is not None


def diff(document: runs.Diff | runs.PromotionShown) -> None:
    for row in document.edits:
        console.print(f"  {row.path}: {plain(row.old)} → {plain(row.new)}")
    if not document.edits:
        console.print("the same recipe")


def plain(value: Any) -> str:
    """A recipe's value as its file has it, on one line."""
    is_word = isinstance(value, str) and value.strip() != "" and "\n" not in value
    return value if is_word else json.dumps(value, ensure_ascii=False)


def lineage(document: runs.Lineage) -> None:
    """How a baseline came to be, oldest first."""
    for row in document.promotions:
        back = ", taken back since" if row.reverted_unix else ""
        console.print(f"{row.promotion[:12]}  {row.kind:<8}{row.to_recipe[:12]}  {row.mutation}{back}")
        if told := gained(row):
            console.print(f"{'':14}{told.removeprefix(': ')}")
    if not document.promotions:
        return console.print("No promotion yet.")
    return console.print("Next: foundry show PROMOTION · foundry reproduce PROMOTION")


def gained(row: runs.PromotionRow | runs.PromotionShown) -> str:
    """What a promotion gained: as measured again, and as the pairs that decided have it."""
    record, told = row.record, []
    if row.effect_bpb is not None and row.interval_bpb is not None:
        low, high = row.interval_bpb
        over = "" if row.measured_from == row.from_recipe else f" over {str(row.measured_from)[:12]}"
        told.append(
            f"{signed(row.effect_bpb)} bits per byte{over} ({low:+.4f} to {high:+.4f}), measured again on {row.n} pairs"
        )
    if record.effect_bpb is not None:
        bounds = "" if told or not record.interval_bpb else " ({:+.4f} to {:+.4f})".format(*record.interval_bpb)
        alone = "" if told else ", and it wasn't measured again by itself"
        told.append(f"{signed(record.effect_bpb)}{bounds} on the {record.n} that decided, which flatter{alone}")
    return f": {'; '.join(told)}" if told else ""


def verify(document: budgets.Verified) -> None:
    """A line for each thing that doesn't hold, then what was looked at and the head to note."""
    for each in document.breaks:
        console.print(f"{each.code}  {each.at}  {each.message}")
    for note in document.notes:
        console.print(f"Note: {note}")
    broken = len(document.breaks)
    console.print(
        f"{document.promotions} entries of the lineage, {len(document.unsealed)} of them without a seal; "
        f"{document.comparisons} certifications computed again: {f'{broken} breaks' if broken else 'all holds'}."
    )
    if (head := document.head) is not None:
        console.print(f"Head: {head}\nNote it elsewhere; later: foundry verify --head {head[:12]}")


def budget(document: budgets.Budget) -> None:
    """What is left of the error budget and what the next test needs."""
    for stream, found in (document.streams or {"better": document}).items():
        following = found.next
        by = f", opened by {found.opened_by}: {found.why}" if found.why else ""
        for line in (
            f"{STREAMS[stream]}: season {found.season}, {found.control} at q = {found.q:g}{by}",
            f"  spent {found.spent:.4g} on {found.tests} tests, {found.left:.4g} left; "
            f"{found.promotions} promotions of them stand, each counted once",
            f"  next test: α = {following.alpha:.4g}, at most {following.pairs} pairs"
            + (", in a new season" if following.opens_a_season else ""),
            f"  pays for {found.tests_left_without_a_promotion} more tests if none promotes",
        ):
            console.print(line)
    console.print(f"Reads of the sealed test split: {document.test_split_reads}")


STREAMS = {"better": "Tests that a recipe is better", "not_worse": "Tests that a simpler recipe is not worse"}
