"""The figures of the cheats as tables and as JSON. May not: measure anything."""

from __future__ import annotations

from typing import Any

from benchmarks.cheats.attacks import Outcome
from benchmarks.cheats.measure import Row
from benchmarks.cheats.plain import Report

FOOLED_BPB = 0.05  # a plain evaluator that reports so much less than for the honest model was taken in


def show(found: dict[str, Any]) -> None:
    shown = {"leaks": _leaks, "zoo": _zoo, "host": _host, "promotions": _promotions}
    shown |= {"twins": _twins, "spenders": _spenders}
    shown[found["part"]](found)
    print(f"{found['seconds']} s")


def to_json(found: dict[str, Any]) -> dict[str, Any]:
    """Plain values: of each row the counts, what was said first, and the averages."""
    document = {
        key: value for key, value in found.items() if key not in ("rows", "outcomes", "plain", "swept", "talked")
    }
    if "rows" in found:
        document["rows"] = [
            {
                "entry": row.entry,
                "state": row.state,
                "precision": row.precision,
                "tier": row.tier,
                "refused": row.refused,
                "of": len(row.bpb),
                "reasons": sorted({why.partition(":")[0] for why in row.why if why}),
                "plain_bpb": round(row.plainly, 4),
                "judged_bpb": [round(bpb, 4) for bpb in row.bpb if bpb is not None],
            }
            for row in found["rows"]
        ]
    if "outcomes" in found:
        document["outcomes"] = [{**vars(outcome), "contained": outcome.contained} for outcome in found["outcomes"]]
        document["plain"] = {name: _plainly(found, name) for name in found["plain"]}
    if "swept" in found:
        document["swept"] = [{**vars(swept), "kept": swept.kept} for swept in found["swept"]]
    if "talked" in found:
        document["talked"] = [{**vars(each), "kept": each.kept} for each in found["talked"]]
    return document


def _leaks(found: dict[str, Any]) -> None:
    honest = {(row.state, row.tier): row.plainly for row in found["rows"] if row.entry == "honest"}
    for tier, (caught, of) in found["caught"].items():
        mine = [row for row in found["rows"] if row.tier == tier and row.entry != "honest"]
        print(f"\nLeaks, tier {tier}: {len(mine) // 2}, {len(mine[0].bpb)} seeds each")
        plain = f"{honest['fresh', tier]:.2f} bits per byte fresh, {honest['trained', tier]:.2f} trained"
        print(f"A plain evaluation of the honest model reports {plain}.")
        print(f"{'':38}{'caught':>9}{'caught':>9}   plain evaluation reports")
        print(f"{'':38}{'fresh':>9}{'trained':>9}   fresh       trained")
        for fresh, trained in zip(mine[::2], mine[1::2], strict=True):
            reports = [_reported(row, honest[row.state, tier]) for row in (fresh, trained)]
            counts = "".join(f"{row.refused:>6}/{len(row.bpb):<2}" for row in (fresh, trained))
            print(f"{fresh.entry:38}{counts}   {reports[0]:12}{reports[1]}")
        for row in mine:
            for bpb in row.bpb:
                if bpb is not None:
                    print(f"  not caught: {row.entry} {row.state}, judged at {bpb:.4f}")
        print(f"{tier}: caught {caught} of {of} ({caught / of:.2%}; promised: {found['promised']:.1%})")


def _reported(row: Row, honest: float) -> str:
    return f"{row.plainly:.2f}{' fooled' if row.plainly < honest - FOOLED_BPB else ''}"


def _zoo(found: dict[str, Any]) -> None:
    print(f"\nHonest models: {len({row.entry for row in found['rows']})}, fresh and trained.")
    for row in found["rows"]:
        for why in filter(None, row.why):
            print(f"  FALSE ALARM {row.entry} {row.state} {row.precision} {row.tier}: {why}")
    for tier, precisions in found["alarms"].items():
        for precision, (alarms, of) in precisions.items():
            print(f"{tier} {precision}: {alarms} false alarms in {of} judgings")
    print(f"judged and plain bits per byte differ by {found['gap_bpb']:.1e} at most (fp32)")


def _promotions(found: dict[str, Any]) -> None:
    print(
        "\nSweeps with promotion; the control asks neither what code carries nor for a second text, and has no sandbox"
    )
    for each in found["swept"]:
        gains = "".join(f"{'' if gain is None else f'{gain:+.3f}':>9}" for gain in (each.gain_bpb, each.second_bpb))
        word = "promoted" if each.promoted else ", ".join(each.blocked) or each.verdict or "no gain"
        print(f"{'  ' if each.kept else 'NO'} {each.name:18}{each.tier:12}{gains}   {word}")


def _twins(found: dict[str, Any]) -> None:
    print("\nContestants that talk, by what was taken away of what keeps them apart")
    for each in found["talked"]:
        gain = "no score" if each.gain_bpb is None else f"{each.gain_bpb:+.3f}"
        print(f"{'  ' if each.kept else 'NO'} {each.tier:12}{each.taken_away:24}{gain:>9}   {each.why[:60]}")


def _spenders(found: dict[str, Any]) -> None:
    print("\nCPU seconds for each counted FLOP, as a multiple of the baseline's")
    for each in found["spent"]:
        ratios = " ".join(f"{ratio:.2f}" for ratio in each["ratios"])
        word = "passed" if each["passed"] else each["why"] or "rejected"
        print(f"{each['tier']:12}{each['name']:16}{ratios:18}{each['gain_bpb']:+.3f} bpb   {word}")


def _host(found: dict[str, Any]) -> None:
    tiers, honest = list(found["contained"]), _honest(found)
    outcomes = {(outcome.name, outcome.tier): outcome for outcome in found["outcomes"]}
    names = [name for name in found["plain"] if name != "honest"]
    print(f"\nHost attacks: {len(names)}. The plain evaluator reports {honest.val_bpb or 0:.2f} for the honest model.")
    print(f"{'':24}" + "".join(f"{tier:26}" for tier in tiers) + "plain evaluator")
    for name in names:
        cells = "".join(f"{_came_to(outcomes.get((name, tier))):26}" for tier in tiers)
        print(f"{name:24}{cells}{_plainly(found, name)}")
    for tier, (held, of) in found["contained"].items():
        print(f"{tier}: contained {held} of {of}{' (the control: nothing holds)' if tier == 'none' else ''}")


def _honest(found: dict[str, Any]) -> Report:
    return found["plain"]["honest"][0]


def _came_to(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not tried"
    if outcome.harm:
        return "HARM: " + outcome.harm[0][:18]
    return "honest score" if outcome.bpb is not None else outcome.status.partition(":")[0][:14] + ", no score"


def _plainly(found: dict[str, Any], name: str) -> str:
    """What the plain evaluator made of an attack, in a few words."""
    (said, harm), honest = found["plain"][name], _honest(found)
    words = list(harm)
    if said.val_bpb is not None and honest.val_bpb is not None and said.val_bpb < honest.val_bpb - FOOLED_BPB:
        words.append(f"fooled: reports {said.val_bpb:.2f}")
    if said.seconds is not None and said.seconds <= 0:
        words.append(f"fooled: reports {said.seconds:.0f} s")
    if name == "unnormalised" and said.as_given is not None:
        words.append(f"taking outputs for log-probabilities: {said.as_given:.2f}")
    if not words and said.val_bpb is None:
        words.append(f"no report: {said.ended}")
    return "; ".join(words) or "an honest report"
