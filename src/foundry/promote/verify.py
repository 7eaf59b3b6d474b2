"""`verify`: whether the record of champions is the one that was made. Reads the ledger and the baseline files.

The chain of seals is followed and compared with the lineage and with all else that is sealed, every certification is
computed again from its plan and its runs (promote/recompute.py), and each baseline file is compared with its champion.
May not: mend, or write anything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from foundry.core import places, yaml_io
from foundry.core.errors import FoundryError, RequestError
from foundry.documents.budget import Break, Verified
from foundry.ledger import sealed_rows
from foundry.ledger import seals as seals
from foundry.ledger.file import LedgerFile
from foundry.ledger.ledger import Ledger
from foundry.ledger.queries import reading
from foundry.promote import recompute
from foundry.promote.recompute import Findings

SHORTEST_HEAD = 12


def verify(head: str | None = None) -> Verified:
    """What holds of the record, and what doesn't. head: a head that was printed before, or its first 12 digits or more,
    which must be a link of the chain. Raises RequestError for a head that is none, WorkError as any reader."""
    if head is not None and (len(head) < SHORTEST_HEAD or not set(head) <= set("0123456789abcdef")):
        message = f"at least {SHORTEST_HEAD} hex digits of what foundry verify has printed"
        raise RequestError("verify.bad_head", "--head", message, got=head)
    found, chain, comparisons, entries, unsealed = Findings(), _Chain(), 0, [], []
    with reading() as file:
        if file is not None:
            chain = _follow(file, found)
            entries = file.rows("SELECT * FROM promotions ORDER BY seq")
            unsealed = _sealed(file, chain, entries, found)
            _rows(file, chain, found)
            _lineage(file, chain, entries, found)
            comparisons = recompute.comparisons(file, found)
            recompute.budgets(file, found)
            _files(Ledger(file), entries, found)
    links = [link for link in chain.links if head is not None and link.startswith(head)]
    if head is not None and not links:
        message = "no link of the chain is the head that was noted: the lineage was written anew"
        found.broken("verify.head", head, message)
    return Verified(
        ok=not found.breaks,
        head=chain.links[-1] if chain.links else None,
        head_found=None if head is None else bool(links),
        seals=len(chain.links),
        signed=chain.signed,
        promotions=len(entries),
        unsealed=tuple(unsealed),
        comparisons=comparisons,
        breaks=tuple(Break.from_dict(each) for each in found.breaks),
        notes=tuple(found.notes),
    )


@dataclass
class _Chain:
    """links: as recorded, oldest first; entries: of each sealed entry what was sealed, its ends as they came to be by
    what was sealed later, and whether it should be marked as taken back; rows: of each sealed row, by what it is and
    its key, the digest sealed last; before: of each kind, the last row and how many of a time when none was sealed."""

    links: list[str] = field(default_factory=list)
    signed: bool = False
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[tuple[str, tuple[Any, ...]], str] = field(default_factory=dict)
    before: dict[str, list[int]] = field(default_factory=dict)

    def replay(self, event: dict[str, Any]) -> None:
        """What one seal says, over what those before it said."""
        if event["event"] == "rows":
            self.before |= event.get("before", {})
            self.rows |= {(what, tuple(key)): digest for what, key, digest in event["rows"]}
        elif event["event"] == "forget":
            self.rows.pop((sealed_rows.RUN, (event["run"],)), None)
        else:
            _replay(self.entries, event)


def _follow(file: LedgerFile, found: Findings) -> _Chain:
    """The chain, each link and signature computed again."""
    rows, chain = file.rows("SELECT seq, content, link, signature FROM seals ORDER BY seq"), _Chain()
    name = Ledger(file).setting(seals.NAME)
    if not rows:
        if name is not None:
            found.broken("verify.chain", "seals", "the ledger has a key and no seals: they were removed")
        return chain
    key = seals.key(name) if isinstance(name, str) and name.isalnum() else None
    chain.signed = key is not None
    if key is None:
        message = "the key isn't here, so the signatures can't be checked; compare the head with one noted elsewhere"
        found.broken("verify.no_key", str(places.keys()), message)
    before = seals.START
    for row in rows:
        at = f"seal {row['seq']}"
        if seals.link(before, row["content"]) != row["link"]:
            found.broken("verify.chain", at, "its link doesn't follow: it was changed, or one before it was or is gone")
        if key is not None and seals.signature(key, row["link"]) != row["signature"]:
            found.broken("verify.signature", at, "it isn't signed with this ledger's key")
        before = row["link"]
        chain.links.append(before)
        try:
            chain.replay(json.loads(row["content"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            found.broken("verify.chain", at, "its content is none that Foundry writes")
    kept = seals.kept_head(seals.head_file(name)) if key is not None else None
    if kept is not None and kept["link"] not in chain.links:
        message = (
            f"link {kept['seq']}, which this machine put on the chain, isn't there ({kept['link'][:12]}): an earlier "
            f"copy was put back, or another; where that was you, remove {seals.head_file(name)}"
        )
        found.broken("verify.earlier_copy", str(file.path), message)
    return chain


def _replay(entries: dict[str, dict[str, Any]], event: dict[str, Any]) -> None:
    """What one seal says of the lineage, over what those before it said."""
    what = event["event"]
    if what == "rename":
        for entry in _of(entries, event["track"]):
            entry["track"] = event["name"]
    elif what == "respell":
        for entry in _of(entries, event["track"]):
            for end in ("from_fp", "to_fp"):
                entry[end] = event["fingerprint"] if entry[end] == event["known"] else entry[end]
    else:
        if not event.get("late"):
            if event["reverts"] is not None:
                entries[event["reverts"]]["reverted"] = True
            if event["kind"] != "promote":
                _take_back(_of(entries, event["track"]), event["to_fp"])
        sealed_ends = [event["from_fp"], event["to_fp"]]
        entries[event["id"]] = {"reverted": False, **event, "sealed_ends": sealed_ends}


def _of(entries: dict[str, dict[str, Any]], track: str) -> list[dict[str, Any]]:
    return [entry for entry in entries.values() if entry["track"] == track]


def _take_back(line: list[dict[str, Any]], champion: str) -> None:
    """As the ledger does it: what was promoted since `champion` last became one is undone by its return."""
    last = max((i for i, entry in enumerate(line) if entry["to_fp"] == champion), default=len(line))
    for entry in line[last + 1 :]:
        entry["reverted"] |= entry["kind"] == "promote"


def _sealed(file: LedgerFile, chain: _Chain, entries: list[dict[str, Any]], found: Findings) -> list[str]:
    """Each entry against its seal; the ids of those that have none."""
    there = {entry["id"]: entry for entry in entries}
    for id in chain.entries.keys() - there.keys():
        found.broken("verify.gone", id[:12], "it was sealed, and is no longer in the lineage")
    unsealed = [entry["id"] for entry in entries if entry["id"] not in chain.entries]
    if chain.links:
        for id in unsealed:
            found.broken("verify.no_seal", id[:12], "it is in no seal: it was put into the lineage from outside")
    elif unsealed:
        found.noted(f"{len(unsealed)} entries of the lineage are of a time without seals; the next one seals them")
    order = [id for id in chain.entries if id in there]
    if order != [entry["id"] for entry in entries if entry["id"] in chain.entries]:
        found.broken("verify.order", "lineage", "its entries stand in another order than they were sealed in")
    for id in order:
        row, sealed = there[id], chain.entries[id]
        now = seals.digests(file.row, row | {"to_fp": sealed["sealed_ends"][1]})
        changed = [what for what in now if now[what] != sealed["rests_on"].get(what)]
        changed += [key for key in ("track", "from_fp", "to_fp") if row[key] != sealed[key]]
        if (row["reverted"] is not None) != sealed["reverted"]:
            changed.append("reverted")
        if changed:
            found.broken("verify.changed", id[:12], f"changed since it was sealed: {', '.join(changed)}")
    return unsealed


def _rows(file: LedgerFile, chain: _Chain, found: Findings) -> None:
    """Each sealed row against its seal, and whether rows are there that no seal knows."""
    for (what, key), sealed in chain.rows.items():
        now = sealed_rows.digest(file.rows, what, key)
        if now != sealed:
            how = "it was sealed, and is gone" if now is None else "changed since it was sealed"
            found.broken("verify.record", _named(what, key), how)
    for what, (last, count) in chain.before.items():
        known = sealed_rows.keys(file.rows, what)
        early = sum(row <= last for row, _ in known)
        if early != count:
            message = f"{early} of a time before they were sealed, there were {count}: one was removed or put in"
            found.broken("verify.record", sealed_rows.TABLES[what][0], message)
        for row, key in known:
            if row > last and (what, key) not in chain.rows:
                found.broken("verify.record", _named(what, key), "it is in no seal: it was put in from outside")
    early = sum(count for _, count in chain.before.values())
    secrets = sum(what == "secret" for what, _ in chain.rows)
    if early > secrets:
        found.noted("verdicts, plans, tests and reads of a time before they were sealed are counted, not compared")


def _named(what: str, key: tuple[Any, ...]) -> str:
    return " ".join([what, *(str(part)[:12] for part in key)])


def _lineage(file: LedgerFile, chain: _Chain, entries: list[dict[str, Any]], found: Findings) -> None:
    """One champion follows another, each promotion on a verdict that says so of these two."""
    champions: dict[str, str] = {}
    for entry in entries:
        id, track = entry["id"][:12], entry["track"]
        if entry["from_fp"] != champions.get(track):
            expected = str(champions.get(track))[:12]
            found.broken("verify.lineage", id, f"it follows {str(entry['from_fp'])[:12]}, the champion was {expected}")
        champions[track] = entry["to_fp"]
        if entry["kind"] != "promote":
            continue
        verdict = file.row(
            "SELECT baseline, candidate, state, json_extract(content, '$.verdict') AS word FROM verdicts "
            "LEFT JOIN tests ON tests.verdict = verdicts.id WHERE verdicts.id = ?",
            entry["verdict"],
        )
        if verdict is None:
            found.broken("verify.no_verdict", id, "a promotion without a verdict")
            continue
        if (verdict["word"], verdict["state"]) != ("better", "passed"):
            said = f"its verdict is {verdict['word']}, its test {verdict['state']}"
            found.broken("verify.not_better", id, f"{said}: no ground for a promotion")
        sealed = chain.entries.get(entry["id"])
        ends = sealed["sealed_ends"] if sealed is not None else [entry["from_fp"], entry["to_fp"]]
        if ends != [verdict["baseline"], verdict["candidate"]]:
            message = "its verdict is on other recipes"
            if sealed is not None and not sealed.get("late"):
                found.broken("verify.other_recipes", id, message)
            else:  # a time without seals had no record of fingerprints that were spelled anew
                found.noted(f"{id}: {message}, or on these as an earlier version knew them")


def _files(ledger: Ledger, entries: list[dict[str, Any]], found: Findings) -> None:
    """Each baseline file that is there holds its track's champion."""
    last = {entry["track"]: entry for entry in entries}
    for track, entry in last.items():
        path = places.runs().absolute().parent.resolve() / track
        if not path.is_file():
            found.noted(f"{track} isn't here; its champion is {entry['to_fp'][:12]}")
            continue
        recipe = ledger.recipes.get(entry["to_fp"])
        try:
            text = yaml_io.read_text(path)
            if text == entry["new_text"] and recipe is not None and recipe["sources"] == "{}":
                continue
            from foundry.recipe import Recipe  # with it comes torch, which what only reads does without where it can

            fingerprint = Recipe.load(path, text).fingerprint
        except FoundryError as error:
            found.broken("verify.baseline", track, f"can't be read as a recipe: {error.message}")
            continue
        if fingerprint != entry["to_fp"]:
            message = f"holds {fingerprint[:12]}, the champion is {entry['to_fp'][:12]}"
            found.broken("verify.baseline", track, f"{message}: it was edited, or a promotion hasn't reached it yet")
