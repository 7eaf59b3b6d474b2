"""What people read of campaigns: progress lines, and tables made from the documents that `--json` prints. May not:
compute.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from foundry.documents import campaign as documents
from foundry.interface.report import flops, lineage_of, number, seconds, signed
from foundry.interface.terminal import console, table

FLATTERS = "of the pairs that decided, which flatter"
MOST_WORDS = 8
"""Of a round that are named in its line; the ledger has all."""


def lines(say: Callable[[str], None]) -> Callable[[dict[str, Any], Any], None]:
    """A line on each event of a campaign; `state` is what the campaign knew before it."""

    def told(event: dict[str, Any], state: Any) -> None:
        kind = event["kind"]
        if kind == "round":
            on = f"{len(state.moves)} moves past the champion" if state.moves else "the champion"
            words = [entry["word"] for entry in event["entries"]]
            more = f" and {len(words) - MOST_WORDS} more" if len(words) > MOST_WORDS else ""
            say(f"round {state.rounds + 1}, on {on}: {', '.join(words[:MOST_WORDS])}{more}")
            if (asked := event.get("asked")) and (asked["failed"] or asked["refused"]):
                say(f"  {questioned(documents.Question.from_dict({**asked, 'refused': ()}), len(asked['refused']))}")
        elif kind == "raced":
            for trial in event["trials"]:
                if trial["status"] in ("accepted", "refuted", "failed"):
                    gain = f" {signed(trial['gain'])} bits per byte" if trial["gain"] is not None else ""
                    say(f"  {trial['word']}: {trial['status']}{gain} {trial['reason']}".rstrip())
        elif kind == "certified":
            words = " + ".join(move["word"] for move in event["moves"])
            said = "promoted" if event["better"] else f"{event['word']}; back to the champion"
            known = f", {interval(event['interval'])}; {FLATTERS}" if event["better"] else ""
            say(f"court: {words}: {said} ({event['n']} pairs, {signed(event['effect'])} bits per byte{known})")
        elif kind == "pruned" and event["word"]:
            said = "taken out again" if event["better"] else "stays"
            say(f"court: {event['removed']} {said} ({event['n']} pairs)")
        elif kind == "remeasured":
            measured = f"{signed(event['effect'])} bits per byte over the start, {interval(event['interval'])}"
            said = "holds" if event["held"] else "taken back, the start is the champion again"
            say(f"measured again on {event['n']} pairs that decided nothing: {measured}: {said}")
        elif kind == "rebased":
            say(f"the champion is {event['champion'][:12]} now")
        elif kind == "recoded" and state.champion:
            say("the code that trains or judges the champion has changed: what is known begins anew from it")

    return told


def questioned(asked: documents.Question, refused: int) -> str:
    """What came of asking somebody else."""
    held = f"{refused} idea{'s' if refused != 1 else ''} that didn't hold" if refused else ""
    instead = f"{asked.filled_by} proposes in its place" if asked.filled_by else ""
    return f"{asked.by}: {'; '.join(filter(None, (*asked.failed, held, instead)))}"


def campaign(document: documents.Campaign) -> None:
    """What the campaign came to: promotions with their measured effects, what is provisional, what it took."""
    rows = [
        (row.promotion[:12], row.mutation, *_gain(row), _how_known(row))
        for row in document.promotions
    ]  # fmt: skip
    if rows:
        table("Certified", ("promotion", "mutation", "gain", "95 % interval", ""), rows)
    else:
        console.print("Nothing promoted yet.")
    again = document.measured_again
    if again is not None and not again.held:
        console.print(
            f"Taken back: measured again on {again.n} pairs, {again.to_recipe[:12]} gains {signed(again.effect_bpb)} "
            f"({interval(again.interval_bpb)}) over {again.from_recipe[:12]}, which is the champion again."
        )
    if document.champion in [row.to_recipe for row in document.promotions if row.effect_bpb is None]:
        console.print("Not measured again yet: foundry campaign --remeasure does that, on 16 runs.")
    this, provisional = document.this_command, document.provisional
    if provisional.mutations:
        moves = " + ".join(provisional.mutations)
        console.print(f"Not certified yet: {moves} ({signed(provisional.claimed_bpb)} claimed).")
    spent = f"{this.runs} runs, {flops(this.flops)}FLOP, {seconds(this.hours * 3600)}"
    console.print(
        f"{document.candidates} candidates in {document.rounds} rounds, {document.certifications} "
        f"certifications; this command took {spent}."
    )
    shares = ", ".join(f"{name} {share:.0%}" for name, share in document.strategies.items())
    console.print(f"Who is asked next: {shares}.")
    if document.waiting:
        console.print(f"The limit didn't suffice for {document.waiting}: the next command begins there.")
    if document.ended == "exhausted":
        console.print("Everything in this space was tried on this champion: widen it, or propose.")
    lineage = lineage_of(document.file)
    console.print(f"Next: foundry history · {lineage} · the same command goes on")


def proposed(document: documents.Proposed) -> None:
    console.print(
        f"Proposal {document.proposal}: {document.mutation}. {document.waiting} waiting; "
        f"foundry campaign takes them first. Take it back: foundry proposals --withdraw {document.proposal}"
    )


def proposals(document: documents.Proposals) -> None:
    """The queue, and what became of what left it."""
    rows = []
    for row in document.proposals:
        result = row.result or documents.Trial()
        gain, reason = signed(result.gain_bpb), result.reason
        rows.append((str(row.proposal), row.mutation, row.who, row.status, gain, row.why, reason))
    if not rows:
        return console.print('Nothing is proposed. Start with: foundry propose attention:gqa_2kv --why "…"')
    table("Proposals, newest first", ("", "mutation", "by", "", "gain", "why", "what became of it"), rows)
    return console.print(f"{document.waiting} waiting for a campaign.")


def withdrawn(row: documents.Proposal) -> None:
    console.print(f"Proposal {row.proposal} is withdrawn: {row.mutation}.")


def history(document: documents.History) -> None:
    """The latest trials, the court's rulings, which families pay, and how much there is of all."""
    rows = [
        (row.mutation or "", row.by or "", row.status or "", signed(row.gain_bpb), interval(row.interval_bpb),
         share(row.budget_share), brief(row.reason))
        for row in document.trials
    ]  # fmt: skip
    refused = [row for row in document.proposals if row.status == "refused"]
    for row in refused:
        why = row.result.reason if row.result else ""
        console.print(f"Refused: {row.mutation}, proposed by {row.who}: {why}")
    if not rows:
        if not refused:
            console.print("No campaign has tried anything yet. Start with: foundry campaign --runs 100")
        return
    columns = ("mutation", "by", "", "gain", "95 % interval", "budget", "why it went out, or stays")
    table("Trials, newest first", columns, rows)
    rulings = [
        (" + ".join(row.mutations), row.verdict, *_gain(row),
         str(row.n), (row.promotion or "")[:12], (row.comparison or "")[:12])
        for row in document.certifications
    ]  # fmt: skip
    if rulings:
        columns = ("bundle", "verdict", "gain", "95 % interval", "pairs", "promotion", "comparison")
        title = f"\nCourt, newest first (the gain of what is better is {FLATTERS}; foundry lineage has what stands)"
        table(title, columns, rulings)
    for asked in document.asked:
        if asked.failed or asked.refused:
            console.print(f"Asked {questioned(asked, len(asked.refused))}")
    families = [
        (row.family, *(str(count) for count in (row.tried, row.accepted, row.out, row.failed)),
         signed(row.mean_gain_bpb), number(row.certified_bpb) if row.certified_bpb else "")
        for row in document.families
    ]  # fmt: skip
    columns = ("family", "tried", "accepted", "out", "failed", "gain, mean", "certified, flattering")
    table("\nFamilies (a stack is counted with each of its own)", columns, families)
    totals = document.totals
    console.print()
    for kind, total, by in (
        ("trials", totals.trials, totals.trials_by_status),
        ("certifications", totals.certifications, totals.certifications_by_verdict),
        ("proposals", totals.proposals, totals.proposals_by_status),
    ):
        parts = ", ".join(f"{count} {name}" for name, count in by.items())
        console.print(f"{total} {kind}" + (f": {parts}" if parts else ""))


def _gain(row: documents.Promoted | documents.Certification) -> tuple[str, str]:
    """And its interval: as measured again, else of the pairs that decided."""
    if row.effect_bpb is not None:
        return signed(row.effect_bpb), interval(row.interval_bpb)
    return signed(row.flattering_effect_bpb), interval(row.flattering_interval_bpb)


def _how_known(row: documents.Promoted) -> str:
    if row.effect_bpb is None:
        return FLATTERS
    more = "" if row.measured_from == row.from_recipe else f", over {str(row.measured_from)[:12]}"
    return f"measured again{more}"


def share(value: float | None) -> str:
    """Of the full budget: `full`, `1/4`."""
    return "" if value is None else "full" if value == 1.0 else str(Fraction(value).limit_denominator(1000))


def brief(reason: str) -> str:
    """A reason in the width of a table; `show RUN` has all of it."""
    line = " ".join(reason.split())
    return line if len(line) <= 100 else f"{line[:99]}…"


def reproduced(document: documents.Reproduced) -> None:
    """Run by run, then the answer."""
    rows = [
        (row.arm, row.run[:12], number(row.recorded_bpb), number(row.again_bpb) or row.status,
         "same bits" if row.equal else "")
        for row in document.runs
    ]  # fmt: skip
    table("", ("arm", "run", "bits per byte, recorded", "bits per byte, again", ""), rows)
    low, high = document.recorded_interval_bpb
    told = f"{signed(document.effect_bpb)} bits per byte over {document.pairs} pairs"
    if document.bit_for_bit:
        console.print(f"Reproduced bit for bit: {told}.")
    elif document.within_interval:
        console.print(f"Reproduced within its interval ({low:+.4f} to {high:+.4f}): {told}.")
    else:
        console.print(f"Not reproduced: {told}, where {low:+.4f} to {high:+.4f} was recorded.")


def interval(bounds: Any) -> str:
    return "" if not bounds else f"{bounds[0]:+.4f} to {bounds[1]:+.4f}"
