"""From a verdict to a champion: the sealed test score for the record, compare-and-swap in the ledger, then the file;
and the way back. May not: judge.

The ledger is the record and the file is derived from it: a promotion that was cut off between the two is finished by
`settle`, which every verb that changes a baseline calls first. What a person writes into the file wins: a promotion is
written over the champion's own text only, and any other recipe is adopted, on the record.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from foundry.compare.match import Arm
from foundry.compare.session import Lab
from foundry.core import yaml_io
from foundry.core.errors import RequestError, WorkError
from foundry.core.files import replace_if
from foundry.core.places import former_track
from foundry.core.places import track as track_of
from foundry.ledger.ledger import Ledger
from foundry.recipe import Recipe

EDITED = "promote.edited"
STALE = (EDITED, "ledger.not_champion")
"""Errors of a promotion over a champion that no longer is one: nothing was changed, the next step begins anew."""
RECORDED = ("effect_bpb", "interval_bpb", "n", "evidence", "alpha", "seeds", "split", "budget", "remeasured")
TEST_READS_A_SEASON = 400

Say = Callable[[str], None]


def settle(ledger: Ledger, path: Path, say: Say = lambda line: None) -> Recipe:
    """The baseline in `path`, the ledger and the file agreeing afterwards; `say` hears what that took.

    A promotion whose text never reached the file is written now; any other recipe than the champion was put there by a
    person, and is adopted. Raises WorkError when the file can't be written."""
    return _settled(ledger, path, say)[0]


def _settled(ledger: Ledger, path: Path, say: Say) -> tuple[Recipe, str]:
    """And the text that it was read from."""
    track = track_of(path)
    last, former = ledger.promotions.last(track), ledger.promotions.last(former_track(path))
    if last is None and former is not None and yaml_io.read_text(path) in (former["old_text"], former["new_text"]):
        ledger.promotions.rename(former["track"], track)
        last = ledger.promotions.last(track)
    if last is not None and last["written"] is None:
        if _written(path, last):
            say(
                f"finished on the way: {last['mutation']} is the baseline in {path}, which its promotion hadn't reached"
            )
        ledger.promotions.mark_written(last["id"])
    text = yaml_io.read_text(path)
    recipe = Recipe.load(path, text)
    if (champion := ledger.promotions.champion(track)) != recipe.fingerprint:
        ledger.recipes.put(recipe)
        if champion is not None and _is_known_as(ledger, champion, recipe):
            ledger.promotions.respell(track, champion, recipe.fingerprint)
            return recipe, text
        ledger.promotions.adopt(track, recipe.fingerprint, text)
        if champion is not None:
            say(f"{path} was edited: what is in it is the baseline from here on, as the lineage says")
    return recipe, text


def _is_known_as(ledger: Ledger, fingerprint: str, recipe: Recipe) -> bool:
    """Whether the record has this very recipe, code and all, by the fingerprint that an earlier version gave it."""
    row = ledger.recipes.get(fingerprint)
    assert row is not None
    try:
        same = Recipe.from_dict(json.loads(row["content"])).fingerprint == recipe.fingerprint
    except RequestError:
        return False
    return same and {at: kept["hash"] for at, kept in json.loads(row["sources"]).items()} == recipe.sources()


def _written(path: Path, entry: dict[str, Any]) -> bool:
    """Put the entry's text into the file, which has its old one: to a letter, or with other comments, which stay."""
    text = yaml_io.read_text(path)
    new = entry["new_text"]
    if text != entry["old_text"]:
        if Recipe.load(path, text).fingerprint != entry["from_fp"]:
            return False  # it is there already, or a person was
        new = yaml_io.updated(text, yaml_io.parse(new, str(path)))
    try:
        return replace_if(path.resolve(), text, new)
    except OSError as error:
        message = f"{entry['mutation']} is promoted in the ledger and can't be written here: {error.strerror}"
        hint = "give yourself permission to write there; the next command finishes it"
        raise WorkError("promote.unwritten", str(path), message, hint=hint) from None


def promote(
    ledger: Ledger, path: Path, baseline: Recipe, winner: Recipe, verdict_id: str | None, record: dict[str, Any]
) -> str:
    """Make `winner` the champion in place of `baseline`; the id of the promotion.

    Raises WorkError, one of STALE, when another promotion came first or a person edited the file: then nothing is
    written over it."""
    old_text = _text_of(ledger, path, baseline)
    ledger.recipes.put(winner)
    new_text = yaml_io.updated(old_text, {**winner.to_dict(), "name": baseline.name})
    return _change(ledger, path, baseline, winner.fingerprint, winner.name, old_text, new_text, verdict_id, record)


def _text_of(ledger: Ledger, path: Path, champion: Recipe) -> str:
    """The file's text, which says what the champion is. When a person made it another it is adopted, and a WorkError
    raised."""
    text = yaml_io.read_text(path)
    expected = champion.fingerprint
    if ledger.promotions.champion(track_of(path)) == expected != Recipe.load(path, text).fingerprint:
        settle(ledger, path)
        raise _edited(path)
    return text


def _change(
    ledger: Ledger,
    path: Path,
    champion: Recipe,
    to: str,
    mutation: str,
    old_text: str,
    new_text: str,
    verdict: str | None = None,
    record: dict[str, Any] | None = None,
    reverts: str | None = None,
) -> str:
    """One entry of the lineage, and its text in the file."""
    entry = ledger.promotions.promote(
        track_of(path),
        expected=champion.fingerprint,
        to=to,
        mutation=mutation,
        verdict=verdict,
        old_text=old_text,
        new_text=new_text,
        effect=record or {},
        reverts=reverts,
    )
    settle(ledger, path)
    last = ledger.promotions.last(track_of(path))
    if last is not None and last["id"] != entry and last["kind"] == "adopt":
        raise _edited(path)
    return entry


def _edited(path: Path) -> WorkError:
    message = "edited meanwhile; the edit stands and is the baseline now, and nothing was written over it"
    return WorkError(EDITED, str(path), message, hint="the same command goes on from it")


def promote_on_verdict(
    lab: Lab, path: Path, arms: tuple[Arm, Arm], verdict: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Make the second arm's recipe the champion in place of the first's, on a verdict that says `better`; the id of the
    promotion, and its record. Asked again after it was cut off it finishes what was begun, and where another copy of
    the same command was first it finds that: a verdict promotes once. Raises WorkError as `promote`."""
    baseline, winner = arms[0].recipe, arms[1].recipe
    if (promoted := _promotion_on(lab, path, winner, verdict)) is not None:
        return promoted
    _text_of(lab.ledger, path, baseline)  # a champion that is none any more costs no sealed reads
    told = {key: verdict[key] for key in RECORDED} | {"second_text": verdict.get("second_text")}
    record = {**told, "reference": arms[1].reference, **_sealed(lab, arms, verdict)}
    try:
        return promote(lab.ledger, path, baseline, winner, verdict["comparison"], record), record
    except WorkError:
        if (promoted := _promotion_on(lab, path, winner, verdict)) is None:
            raise
        return promoted


def _promotion_on(lab: Lab, path: Path, winner: Recipe, verdict: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The promotion that rests on this very verdict and its record, the file settled; None where there is none."""
    last = lab.ledger.promotions.last(track_of(path))
    if last is None or last["verdict"] != verdict["comparison"] or last["to_fp"] != winner.fingerprint:
        return None
    settle(lab.ledger, path, lab.say)
    return last["id"], json.loads(last["effect"])


def _sealed(lab: Lab, arms: tuple[Arm, Arm], verdict: dict[str, Any]) -> dict[str, Any]:
    """`test_bpb`, both arms' mean bits per byte on the sealed test split, for a promotion's report; every read is
    recorded. Once the season's reads are spent it is null, and `test_why` says so: nothing is decided by it.

    The runs are those of the re-measurement, trained already; while that is deferred there are none."""
    if not verdict["remeasured_seeds"]:
        return {"test_bpb": None, "test_why": "it isn't measured again yet"}
    season, purpose, means = verdict["budget"]["season"], f"promotion {verdict['comparison']}", []
    for arm in arms:
        specs = [lab.spec(arm, seed) for seed in verdict["remeasured_seeds"]]
        try:
            for spec in specs:
                lab.ledger.runs.read_split("test", spec.id, purpose, season, TEST_READS_A_SEASON)
        except WorkError as error:
            if error.code != "ledger.split_spent":
                raise
            return {"test_bpb": None, "test_why": error.message}
        results = lab.engine.gather([(spec, lab.data(arm.recipe)) for spec in specs], "test")
        scores = [result.bpb for result in results if result.bpb is not None]
        means.append(fmean(scores) if scores else None)
    return {"test_bpb": means, "test_why": ""}


def take_back(lab: Lab, path: Path, start: str, champion: str, verdict: str) -> str:
    """The champion `start` again, for what was promoted over it is not there when it is measured again; the id of the
    entry. Asked again after it was cut off it finds what was done. Raises WorkError, one of STALE, when another than
    either is the champion by now."""
    standing, last = settle(lab.ledger, path, lab.say), lab.ledger.promotions.last(track_of(path))
    assert last is not None  # it has a champion
    if standing.fingerprint == start:
        return last["id"]
    if standing.fingerprint != champion:
        raise _edited(path)
    return revert(lab.ledger, path, start, verdict)["promotion"]


def revert(ledger: Ledger, path: Path, to: str | None = None, verdict: str | None = None) -> dict[str, Any]:
    """Put an earlier champion back: the one before the present, or the one whose fingerprint begins with `to`; on a
    `verdict`, where that asks for it.

    A promotion of its own on the record. Raises RequestError when there is nothing to go back to, WorkError as
    `promote`."""
    settled: list[str] = []
    (current, text), track = _settled(ledger, path, settled.append), track_of(path)
    standing = ledger.promotions.standing(track)
    if to is not None:
        earlier = [entry for entry in ledger.promotions.lineage(track) if (entry["from_fp"] or "").startswith(to)]
        standing = earlier[-1] if earlier else None
    if standing is None:
        choices = sorted({entry["from_fp"][:12] for entry in ledger.promotions.lineage(track) if entry["from_fp"]})
        raise RequestError("revert.nothing", str(path), "no earlier baseline to go back to", got=to, choices=choices)
    previous, mutation = standing["from_fp"], f"revert of {standing['mutation']}"
    old_text = standing["old_text"]
    entry = _change(ledger, path, current, previous, mutation, text, old_text, verdict, reverts=standing["id"])
    recipes = {"from_recipe": current.fingerprint, "to_recipe": previous}
    return {"promotion": entry, **recipes, "file": str(path), "settled": settled}
