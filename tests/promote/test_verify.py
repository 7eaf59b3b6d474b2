"""What `foundry verify` promises: an honest record verifies, and whatever is changed in it afterwards is shown."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tampered import codes, opened

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.interface.cli import main
from foundry.ledger import seals as seals
from foundry.ledger.ledger import Ledger, ledger_path
from foundry.mutate import mutate
from foundry.promote.promote import revert, settle
from foundry.promote.verify import verify
from foundry.recipe import Recipe
from soak.lab import BASELINE

Tamper = Callable[[sqlite3.Connection], Any]


def test_an_honest_record_verifies_whatever_its_promotions_were(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ledger_path().read_bytes()
    document = verify()
    assert document["breaks"] == [] and document["ok"] and document["notes"] == [] and document["unsealed"] == []
    assert document["signed"] and document["seals"] > document["promotions"] >= 6 and document["comparisons"] >= 4
    assert main(["verify"]) == 0 and document["head"] in capsys.readouterr().out
    assert main(["verify", "--head", document["head"][:12], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 2, **document.to_dict(), "head_found": True}
    assert ledger_path().read_bytes() == before


def a_verdict(of: sqlite3.Connection, where: str) -> tuple[str, dict[str, Any]]:
    row = of.execute(f"SELECT id, content FROM verdicts WHERE {where}").fetchone()
    return row["id"], json.loads(row["content"])


PROMOTED = "EXISTS (SELECT 1 FROM promotions WHERE promotions.verdict = verdicts.id)"


def a_score(of: sqlite3.Connection) -> None:
    _, document = a_verdict(of, PROMOTED)
    of.execute("UPDATE scores SET bpb = bpb - 0.1 WHERE run = ?", (document["arms"][1]["runs"][0]["run"],))


def a_score_and_its_verdict(of: sqlite3.Connection) -> None:
    id, document = a_verdict(of, PROMOTED)
    run = document["arms"][1]["runs"][0]
    run["val_bpb"] -= 0.1
    of.execute("UPDATE scores SET bpb = ? WHERE run = ? AND split = 'certification'", (run["val_bpb"], run["run"]))
    of.execute("UPDATE verdicts SET content = ? WHERE id = ?", (json.dumps(document), id))


def the_word_of_a_verdict_that_promoted_nothing(of: sqlite3.Connection) -> None:
    of.execute(
        "UPDATE verdicts SET content = json_set(content, '$.verdict', 'better') WHERE kind = 'certify' "
        f"AND NOT {PROMOTED} AND json_extract(content, '$.verdict') != 'better'"
    )
    assert of.execute("SELECT changes()").fetchone()[0] > 0


def a_score_of_the_remeasurement(of: sqlite3.Connection) -> None:
    id, document = a_verdict(of, PROMOTED)
    arm, seed = (
        document["arms"][0],
        json.loads(
            of.execute(
                "SELECT plans.content FROM plans JOIN verdicts USING (key, attempt) WHERE id = ?", (id,)
            ).fetchone()[0]
        )["remeasure"][0],
    )
    run = of.execute("SELECT id FROM runs WHERE recipe = ? AND seed = ?", (arm["recipe"], seed)).fetchone()["id"]
    of.execute("UPDATE scores SET bpb = bpb + 1 WHERE run = ? AND split = 'certification'", (run,))


def an_alpha(of: sqlite3.Connection) -> None:
    of.execute("UPDATE tests SET alpha = alpha / 2 WHERE id = (SELECT max(id) FROM tests)")


def a_test_is_gone(of: sqlite3.Connection) -> None:
    of.execute("DELETE FROM tests WHERE verdict NOT IN (SELECT verdict FROM promotions WHERE verdict NOT NULL)")
    assert of.execute("SELECT changes()").fetchone()[0] > 0


def a_promotion_is_put_in(of: sqlite3.Connection) -> None:
    kept = "mutation, verdict, old_text, new_text, effect, created"
    of.execute(
        f"INSERT INTO promotions(id, track, kind, from_fp, to_fp, {kept}) "
        f"SELECT 'f00d', track, kind, to_fp, from_fp, {kept} FROM promotions WHERE kind = 'promote' "
        "ORDER BY seq DESC LIMIT 1"
    )


def a_promotion_is_gone(of: sqlite3.Connection) -> None:
    of.execute("DELETE FROM promotions WHERE seq = (SELECT min(seq) FROM promotions WHERE kind = 'promote')")


def two_change_places(of: sqlite3.Connection) -> None:
    of.executescript(
        "UPDATE promotions SET seq = 900 WHERE seq = 2; UPDATE promotions SET seq = 2 WHERE seq = 3;"
        "UPDATE promotions SET seq = 3 WHERE seq = 900"
    )


def what_it_says_it_gained(of: sqlite3.Connection) -> None:
    of.execute("UPDATE promotions SET effect = json_set(effect, '$.effect_bpb', 9.0) WHERE kind = 'promote'")


def what_was_taken_back_stands(of: sqlite3.Connection) -> None:
    of.execute("UPDATE promotions SET reverted = NULL WHERE reverted NOT NULL")
    assert of.execute("SELECT changes()").fetchone()[0] > 0


def a_recipe(of: sqlite3.Connection) -> None:
    of.execute(
        "UPDATE recipes SET content = json_set(content, '$.train.batch_size', 8) "
        "WHERE fingerprint = (SELECT to_fp FROM promotions WHERE kind = 'promote')"
    )


SECOND_ENTRY = "(SELECT seq FROM seals WHERE json_extract(content, '$.event') = 'entry' ORDER BY seq LIMIT 1 OFFSET 1)"


def a_seal(of: sqlite3.Connection) -> None:
    of.execute(f"UPDATE seals SET content = json_set(content, '$.track', 'another') WHERE seq = {SECOND_ENTRY}")


def a_seal_is_gone(of: sqlite3.Connection) -> None:
    of.execute(f"DELETE FROM seals WHERE seq = {SECOND_ENTRY}")


def all_seals_are_gone(of: sqlite3.Connection) -> None:
    of.execute("DELETE FROM seals")


@pytest.mark.parametrize(
    ("tamper", "shown"),
    [
        (a_score, {"verify.score"}),
        (a_score_and_its_verdict, {"verify.changed", "verify.verdict"}),
        (the_word_of_a_verdict_that_promoted_nothing, {"verify.verdict"}),
        (a_score_of_the_remeasurement, {"verify.verdict"}),
        (an_alpha, {"verify.budget", "verify.alpha", "verify.changed"}),
        (a_test_is_gone, {"verify.budget", "verify.alpha"}),
        (a_promotion_is_put_in, {"verify.no_seal", "verify.other_recipes", "verify.baseline"}),
        (a_promotion_is_gone, {"verify.gone", "verify.lineage", "verify.budget"}),
        (two_change_places, {"verify.order", "verify.lineage"}),
        (what_it_says_it_gained, {"verify.changed"}),
        (what_was_taken_back_stands, {"verify.changed"}),
        (a_recipe, {"verify.changed"}),
        (a_seal, {"verify.chain", "verify.changed"}),
        (a_seal_is_gone, {"verify.chain", "verify.no_seal", "verify.changed"}),
        (all_seals_are_gone, {"verify.chain"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_changed_by_plain_sqlite_is_shown(
    recorded: Path, tamper: Tamper, shown: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with opened() as connection:
        tamper(connection)
    found = codes()
    assert shown & found and found <= shown | {"verify.signature", "verify.record"}
    assert main(["verify"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("verify.")]) == len(verify()["breaks"])


def written_anew(key: bytes) -> None:
    """What a forger does who knows this code: undo the last promotion everywhere, and make the chain whole again."""
    with opened() as connection:
        last = connection.execute("SELECT id, old_text FROM promotions ORDER BY seq DESC LIMIT 1").fetchone()
        connection.execute("DELETE FROM promotions WHERE id = ?", (last["id"],))
        connection.execute("UPDATE promotions SET effect = '{}'")
        rows = connection.execute("SELECT seq, content FROM seals ORDER BY seq").fetchall()
        before = seals.START
        for row in rows:
            content = json.loads(row["content"])
            if content["event"] == "entry" and content["id"] == last["id"]:
                connection.execute("DELETE FROM seals WHERE seq = ?", (row["seq"],))
                continue
            if content["event"] == "entry":
                entry = connection.execute("SELECT * FROM promotions WHERE id = ?", (content["id"],)).fetchone()
                now = seals.digests(lambda sql, value: connection.execute(sql, (value,)).fetchone(), entry)
                content["rests_on"] = now
            text = json.dumps(content)
            before = seals.link(before, text)
            signed = (text, before, seals.signature(key, before), row["seq"])
            connection.execute("UPDATE seals SET content=?, link=?, signature=? WHERE seq=?", signed)
    BASELINE.write_text(last["old_text"])


def ledger_key() -> tuple[str, bytes]:
    with Ledger.open() as ledger:
        name = ledger.setting(seals.NAME)
    key = seals.key(name)
    assert key is not None
    return name, key


def test_a_chain_written_anew_without_the_key_is_shown(recorded: Path) -> None:
    written_anew(b"0" * 32)
    assert codes() == {"verify.signature", "verify.earlier_copy"}


def test_a_chain_written_anew_with_the_key_and_the_head_is_shown_by_a_head_noted_elsewhere_alone(
    recorded: Path,
) -> None:
    noted = verify()["head"]
    name, key = ledger_key()
    written_anew(key)
    assert codes() == {"verify.earlier_copy"}
    seals.head_file(name).unlink()
    assert codes() == set(), "who has all of the user's files can write them all anew"
    document = verify(noted)
    assert [each["code"] for each in document["breaks"]] == ["verify.head"] and document["head_found"] is False


def test_an_earlier_copy_that_is_put_back_or_goes_on_by_itself_is_shown(recorded: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(recorded / "runs", tmp_path / "copy")
    text = BASELINE.read_text()
    with Ledger.open() as ledger:
        revert(ledger, BASELINE)
    assert codes() == set()
    shutil.rmtree(recorded / "runs")
    copy.rename(recorded / "runs")
    BASELINE.write_text(text)
    assert codes() == {"verify.earlier_copy"}
    with Ledger.open() as ledger:
        for _ in range(3):
            revert(ledger, BASELINE, to=ledger.promotions.lineage(str(BASELINE))[-1]["from_fp"])
    assert codes() == {"verify.earlier_copy"}, "growing longer than what was sealed here hides nothing"


def test_where_the_key_is_not_that_is_said_and_the_chain_is_followed_all_the_same(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUNDRY_KEYS", str(recorded / "elsewhere"))
    document = verify(verify()["head"])
    assert [each["code"] for each in document["breaks"]] == ["verify.no_key"]
    assert document["head_found"] and not document["signed"] and not (recorded / "elsewhere").exists()


def test_the_key_is_its_owners_alone_and_a_baseline_that_was_edited_is_said(recorded: Path) -> None:
    name, _ = ledger_key()
    assert seals.key_file(name).stat().st_mode & 0o777 == 0o600 and places.runs().resolve() not in places.keys().parents
    BASELINE.write_text(BASELINE.read_text().replace("layers: 2", "layers: 1"))
    assert codes() == {"verify.baseline"}
    with Ledger.open() as ledger:
        settle(ledger, BASELINE)
    assert codes() == set()


def of_version_4(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "ALTER TABLE runs DROP COLUMN cpu_seconds; DROP TABLE seals; DROP INDEX tests_by_verdict; "
            "ALTER TABLE proposals DROP COLUMN fence; DROP TABLE jobs; "
            "DELETE FROM settings WHERE name LIKE 'seals%'; PRAGMA user_version = 4"
        )


def test_a_ledger_of_version_4_verifies_as_unsealed_and_its_next_entry_seals_what_it_has(recorded: Path) -> None:
    of_version_4(ledger_path())
    document = verify()
    assert document["ok"] and document["head"] is None and document["seals"] == 0
    assert len(document["unsealed"]) == document["promotions"] and "time without seals" in document["notes"][0]
    with opened() as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 4, "reading changes nothing"
        a_score(connection)
    assert codes() == {"verify.score"}, "what follows from the runs is computed again all the same"
    with opened() as connection:
        connection.execute("UPDATE scores SET bpb = bpb + 0.1 WHERE bpb < 2.9 - 0.05")
    with Ledger.open() as ledger:
        revert(ledger, BASELINE)
    after = {each["code"] for each in verify()["breaks"]}
    assert "verify.changed" not in after and verify()["unsealed"] == []
    with opened() as connection:
        what_it_says_it_gained(connection)
    assert "verify.changed" in codes()


def test_a_renamed_line_and_a_fingerprint_spelled_anew_are_sealed_too(recorded: Path) -> None:
    track = str(BASELINE)
    with Ledger.open() as ledger:
        champion = settle(ledger, BASELINE)
        ledger.promotions.rename(track, "elsewhere.yaml")
        ledger.promotions.rename("elsewhere.yaml", track)
        other = mutate(champion, "weight_decay:0.5")[0]
        ledger.recipes.put(other)
        ledger.promotions.respell(track, champion.fingerprint, other.fingerprint)
        ledger.promotions.respell(track, other.fingerprint, Recipe.load(BASELINE).fingerprint)
    assert codes() == set()
    with opened() as connection:
        connection.execute("UPDATE promotions SET track = 'elsewhere.yaml'")
    assert codes() == {"verify.changed"}


def test_where_nothing_is_there_is_nothing_to_verify_and_a_head_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert verify()["ok"] and verify()["head"] is None and verify("0123456789ab")["ok"] is False
    assert [*tmp_path.iterdir()] == []
    for head in ("", "0123", "not a head at all", "0123456789aB"):
        with pytest.raises(RequestError, match=r"verify\.bad_head"):
            verify(head)
