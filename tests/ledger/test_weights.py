"""Which weights stay: the stated rule, what is in use, and the way back to weights that are gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from foundry.compare.session import Settings
from foundry.compare.training import train
from foundry.core.errors import RequestError, WorkError
from foundry.execute.sampling import sample
from foundry.ledger import queries, weights
from foundry.ledger.lease import Owner
from foundry.ledger.ledger import Ledger
from foundry.ledger.weights import FEWEST_RUNS, MOST_BYTES, MOST_RUNS, Hold, superfluous, weights_folder
from foundry.recipe import Recipe
from soak.lab import FakeLab, make_home
from soak.trainer import WEIGHTS_BYTES
from tests.home import small_lab, write_tiny
from tests.ledger.plain import FACTS, SCORE, a_run

BASELINE = Path("experiments/baseline.yaml")


def rows(count: int, size: int = 1, **changes: Any) -> list[dict[str, Any]]:
    plain = {"recipe": "other", "status": "done", "owner": None, "kept": "", "weights_bytes": size}
    return [{**plain, "id": f"run{i}", **changes} for i in range(count)]


def test_of_ordinary_runs_the_newest_stay_as_many_as_fit() -> None:
    assert superfluous(rows(MOST_RUNS), set()) == []
    assert superfluous(rows(MOST_RUNS + 3), set()) == [f"run{MOST_RUNS + i}" for i in range(3)]
    assert len(superfluous(rows(MOST_RUNS, MOST_BYTES), set())) == MOST_RUNS - FEWEST_RUNS
    assert len(superfluous(rows(MOST_RUNS, MOST_BYTES // 20), set())) == MOST_RUNS - 20


def test_what_was_asked_for_what_is_trained_now_and_one_run_of_each_champion_stay() -> None:
    old = rows(MOST_RUNS)
    me = str(Owner.me())
    assert superfluous([*old, *rows(9, kept="train")], set()) == []
    assert superfluous([*old, *rows(9, status="running", owner=me)], set()) == []
    assert len(superfluous([*old, *rows(9, status="running", owner="elsewhere:1:1")], set())) == 9
    assert superfluous([*old, *rows(3, recipe="champion")], {"champion"}) == ["run1", "run2"]


def test_weights_in_use_wait_for_another_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "superfluous", lambda rows, champions: [row["id"] for row in rows])
    with small_lab(jobs=1) as lab:
        arm = lab.arm_of(Recipe.load(BASELINE))
        with monkeypatch.context() as patch:
            patch.setattr(weights, "tidy", lambda ledger: [])
            run = lab.gather([(arm, 1)])[0].id
        taken = queries.weights()
        assert taken.to_dict() == {"runs": 1, "bytes": weights.size_bytes(run)} and taken["bytes"] > 1000
        with Hold(run):
            assert weights.tidy(lab.ledger) == [] and weights_folder(run).is_dir()
        assert weights.tidy(lab.ledger) == [run] and not weights_folder(run).exists()
        assert queries.weights().to_dict() == {"runs": 0, "bytes": 0}
        assert lab.gather([(arm, 1)], "certification")[0].ok, "they are made again where they are needed"


@pytest.mark.parametrize(("ruled", "left"), [(True, 3), (False, 8)])
def test_the_rule_is_kept_as_runs_end(
    home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, ruled: bool, left: int
) -> None:
    make_home(home, cache)
    monkeypatch.setattr(weights, "FEWEST_RUNS", 1)
    monkeypatch.setattr(weights, "MOST_BYTES", 3 * WEIGHTS_BYTES + 3000)
    if not ruled:
        monkeypatch.setattr(weights, "tidy", lambda ledger: [])
    with FakeLab(Settings(jobs=2, device="cpu", judged_bytes=2048)) as lab:
        arm = lab.arm_of(Recipe.load(BASELINE))
        assert all(result.ok for result in lab.gather([(arm, seed) for seed in range(8)]))
    assert len(list(home.glob("runs/*/checkpoint"))) == queries.weights()["runs"] == left


def test_every_message_about_weights_that_are_gone_names_the_command_that_makes_the_same_again(home: Path) -> None:
    with small_lab(jobs=1) as lab:
        first = train(lab, BASELINE, 3, False, False)
        assert first is not None
        manifest = weights_folder(first.id) / "manifest.json"
        whole, row = json.loads(manifest.read_text())["files"], lab.ledger.runs.get(first.id)
        shutil.rmtree(weights_folder(first.id))
        with pytest.raises(WorkError, match=f"foundry train {first.id[:12]} --weights"):
            sample(first.id, "a", 3, 0.0, 0, 0)
        with pytest.raises(RequestError, match=f"foundry train {first.id[:12]} --weights"):
            train(lab, BASELINE, 3, True, False)
        again = train(lab, BASELINE, 3, False, False)
        assert again is not None and again.stored and not manifest.exists()
        for name in (Path(first.id[:12]), BASELINE):
            made = train(lab, name, 3, False, False, weights=True)
            assert made is not None and (made.id, made.bpb) == (first.id, first.bpb)
            files = json.loads(manifest.read_text())["files"]
            assert files["model.safetensors"] == whole["model.safetensors"]
            sample(first.id, "a", 3, 0.0, 0, 0)
            shutil.rmtree(weights_folder(first.id))
        assert len(queries.log()) == 1
        after = lab.ledger.runs.get(first.id)
        assert {key: after[key] for key in ("seconds", "kept", "status")} == {
            key: row[key] for key in ("seconds", "kept", "status")
        }


def test_a_recorded_run_of_another_text_is_not_trained_under_its_name(home: Path) -> None:
    text = home / "text.txt"
    text.write_text("".join(f"line {i} of a text, {i * i % 97}\n" for i in range(4000)))
    write_tiny(BASELINE, data__source=f"file:{text}")
    with small_lab(jobs=1) as lab:
        first = train(lab, BASELINE, 0, False, False)
    text.write_text(text.read_text() + "and a line more\n" * 50)
    with small_lab(jobs=1) as lab, pytest.raises(RequestError, match=r"train\.other_run"):
        assert first is not None
        train(lab, Path(first.id), 0, False, False, weights=True)


def test_a_scored_run_whose_training_was_given_up_stays_done(ledger: Ledger) -> None:
    run = a_run(ledger)
    fence = ledger.runs.claim(run)
    assert fence is not None
    ledger.runs.trained(run, fence, FACTS)
    ledger.runs.add_score(run, "validation", SCORE)
    fence = ledger.runs.claim(run, fence)
    assert fence is not None and ledger.runs.release(run, fence)
    assert ledger.runs.get(run)["status"] == "done"
    fence = ledger.runs.claim(run, fence)
    ledger.runs.fail(run, fence, "timeout", "while its weights were made again")
    assert (ledger.runs.get(run)["status"], ledger.runs.get(run)["reason"]) == ("done", None)
