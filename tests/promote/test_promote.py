"""What a promotion promises of the baseline file: a person's edit wins, a link stays a link, text keeps its form."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import foundry
from foundry.campaign.certifier import LedgerCertifier
from foundry.campaign.live_environment import LiveEnvironment
from foundry.compare.alpha_spending import BudgetRules
from foundry.compare.comparison import Question
from foundry.compare.session import Settings
from foundry.core import files
from foundry.core.errors import WorkError
from foundry.data.config import DataConfig
from foundry.interface import report
from foundry.ledger import queries
from foundry.ledger.ledger import Ledger
from foundry.mutate import mutate
from foundry.promote import promote as promotion
from foundry.promote.promote import promote, revert, settle
from foundry.promote.sweep import SweepPlan, sweep
from foundry.recipe import Recipe
from soak.lab import TRACK, FakeLab, home_of_its_own, run_fake
from tests.home import small_lab

BASELINE = Path("experiments/baseline.yaml")
real_replace_if = files.replace_if


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    with Ledger.open() as ledger:
        yield ledger


def kinds(ledger: Ledger) -> list[str]:
    return [entry["kind"] for entry in ledger.promotions.lineage(TRACK)]


def pair(ledger: Ledger, path: Path = BASELINE) -> tuple[Recipe, Recipe]:
    """The champion, and a recipe to be promoted over it."""
    baseline = settle(ledger, path)
    return baseline, mutate(baseline, "norm:rmsnorm")[0]


def edited(text: str) -> str:
    """The text after a person has changed the recipe in it."""
    assert "layers: 1" in text
    return text.replace("layers: 1", "layers: 2")


def half_done(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> tuple[Recipe, Recipe, str]:
    """A promotion that is on record and never reached its file; and the file's text."""

    def refused(*args: Any) -> None:
        raise PermissionError(13, "Permission denied")

    recipes, text = pair(ledger), BASELINE.read_text()
    with monkeypatch.context() as patched, pytest.raises(WorkError, match=r"can't be written.*next command"):
        patched.setattr(os, "replace", refused)
        promote(ledger, BASELINE, *recipes, None, {})
    assert BASELINE.read_text() == text and ledger.promotions.champion(TRACK) == recipes[1].fingerprint
    return *recipes, text


def test_an_edit_before_a_promotion_wins_and_is_adopted_on_the_record(ledger: Ledger) -> None:
    baseline, winner = pair(ledger)
    BASELINE.write_text(edited(BASELINE.read_text()))
    text = BASELINE.read_text()
    with pytest.raises(WorkError, match="edited meanwhile"):
        promote(ledger, BASELINE, baseline, winner, None, {})
    assert BASELINE.read_text() == text and kinds(ledger) == ["adopt", "adopt"]
    assert ledger.promotions.champion(TRACK) == Recipe.load(BASELINE).fingerprint


def edit_in_between(path: Path, expected: bytes | str, content: bytes | str) -> bool:
    """A person who writes at the last moment before the promotion's text is."""
    path.write_text(edited(path.read_text()))
    return real_replace_if(path, expected, content)


def test_an_edit_between_the_check_and_the_write_wins_too(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    baseline, winner = pair(ledger)
    monkeypatch.setattr(promotion, "replace_if", edit_in_between)
    with pytest.raises(WorkError, match="edited meanwhile"):
        promote(ledger, BASELINE, baseline, winner, None, {})
    assert "layers: 2" in BASELINE.read_text() and kinds(ledger) == ["adopt", "promote", "adopt"]


def test_without_the_comparison_the_same_edit_would_have_been_lost(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline, winner = pair(ledger)

    def careless(path: Path, expected: str, content: str) -> bool:
        path.write_text(edited(path.read_text()))
        files.write_atomic(path, content)
        return True

    monkeypatch.setattr(promotion, "replace_if", careless)
    promote(ledger, BASELINE, baseline, winner, None, {})
    assert "layers: 2" not in BASELINE.read_text()


def test_an_edit_wins_over_a_revert(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    promote(ledger, BASELINE, *pair(ledger), None, {})
    monkeypatch.setattr(promotion, "replace_if", edit_in_between)
    with pytest.raises(WorkError, match="edited meanwhile"):
        revert(ledger, BASELINE)
    assert "layers: 2" in BASELINE.read_text() and kinds(ledger) == ["adopt", "promote", "revert", "adopt"]


def test_a_comment_written_meanwhile_is_no_other_recipe_and_stays(ledger: Ledger) -> None:
    baseline, winner = pair(ledger)
    BASELINE.write_text("# mine\n" + BASELINE.read_text())
    promote(ledger, BASELINE, baseline, winner, None, {})
    assert BASELINE.read_text().startswith("# mine\n")
    assert Recipe.load(BASELINE).fingerprint == winner.fingerprint


def test_a_half_done_promotion_is_finished_by_the_next_command_which_says_so(
    home: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, winner, _ = half_done(ledger, monkeypatch)
    with small_lab() as lab:
        document = sweep(lab, BASELINE, SweepPlan(("set:name=x",), promote=True), lambda *pair: None)
    assert Recipe.load(BASELINE).fingerprint == winner.fingerprint
    report.sweep(document)
    assert f"finished on the way: {winner.name} is the baseline" in capsys.readouterr().out


def test_a_half_done_promotion_is_not_written_over_a_persons_edit(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_done(ledger, monkeypatch)
    BASELINE.write_text(edited(BASELINE.read_text()))
    said: list[str] = []
    assert settle(ledger, BASELINE, said.append).fingerprint == ledger.promotions.champion(TRACK)
    assert "layers: 2" in BASELINE.read_text() and kinds(ledger) == ["adopt", "promote", "adopt"]
    assert len(said) == 1 and "was edited" in said[0]


def test_a_comment_doesnt_undo_a_half_done_promotion(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    _, winner, text = half_done(ledger, monkeypatch)
    BASELINE.write_text("# mine\n" + text)
    assert settle(ledger, BASELINE).fingerprint == winner.fingerprint
    assert BASELINE.read_text().startswith("# mine\n") and kinds(ledger) == ["adopt", "promote"]


@pytest.mark.parametrize("person_edits", [False, True])
def test_a_kill_between_ledger_and_file_loses_neither_the_promotion_nor_an_edit(home: Path, person_edits: bool) -> None:
    with Ledger.open() as ledger:
        baseline, winner = pair(ledger)
    pid = os.fork()
    if pid == 0:
        promotion.replace_if = lambda *args: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        with Ledger.open() as ledger:
            promote(ledger, BASELINE, baseline, winner, None, {})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    if person_edits:
        BASELINE.write_text(edited(BASELINE.read_text()))
    with Ledger.open() as ledger:
        assert ledger.promotions.champion(TRACK) == winner.fingerprint
        standing = settle(ledger, BASELINE)
        assert ledger.promotions.champion(TRACK) == standing.fingerprint
    assert (standing.fingerprint == winner.fingerprint) == (not person_edits)
    assert ("layers: 2" in BASELINE.read_text()) == person_edits


def test_one_file_has_one_lineage_by_whatever_path(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "experiments").rename(home / "elsewhere")
    (home / "experiments").symlink_to("elsewhere")
    with Ledger.open() as ledger:
        promote(ledger, BASELINE, *pair(ledger), None, {})
        for path in (home / BASELINE, Path("elsewhere/baseline.yaml"), Path("experiments/../elsewhere/baseline.yaml")):
            settle(ledger, path)
            assert [entry["kind"] for entry in queries.lineage(str(path))] == ["adopt", "promote"]
        assert len({entry["track"] for entry in ledger.promotions.all()}) == 1


def test_a_baseline_that_is_a_link_stays_one(home: Path, ledger: Ledger) -> None:
    target = home / "kept" / "recipe.yaml"
    target.parent.mkdir()
    BASELINE.rename(target)
    BASELINE.symlink_to(target)
    before = target.read_text()
    _, winner = recipes = pair(ledger)
    promote(ledger, BASELINE, *recipes, None, {})
    assert BASELINE.is_symlink() and Recipe.load(target).fingerprint == winner.fingerprint
    revert(ledger, BASELINE)
    assert BASELINE.is_symlink() and target.read_text() == before


def test_a_project_that_is_moved_keeps_its_lineage(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "one").mkdir()
    (home / "experiments").rename(home / "one" / "experiments")
    monkeypatch.chdir(home / "one")
    with Ledger.open() as ledger:
        promote(ledger, BASELINE, *pair(ledger), None, {})
    (home / "one").rename(home / "two")
    monkeypatch.chdir(home / "two")
    with Ledger.open() as ledger:
        settle(ledger, BASELINE)
        assert kinds(ledger) == ["adopt", "promote"]


def test_a_line_kept_under_its_former_name_goes_on_under_the_files_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the runs elsewhere the name was taken from the working directory: two projects had one line."""
    monkeypatch.setenv("FOUNDRY_RUNS", str(home / "far" / "runs"))
    recipe = Recipe.load(BASELINE)
    with Ledger.open() as ledger:
        ledger.recipes.put(recipe)
        ledger.promotions.adopt(TRACK, recipe.fingerprint, BASELINE.read_text())
        assert [entry["track"] for entry in queries.lineage(str(BASELINE))] == [TRACK]
        promote(ledger, BASELINE, *pair(ledger), None, {})
        assert {entry["track"] for entry in ledger.promotions.all()} == {str((home / BASELINE).resolve())}
    assert [entry["kind"] for entry in queries.lineage(str(BASELINE))] == ["adopt", "promote"]


def test_a_champion_on_record_by_an_earlier_fingerprint_is_the_same_and_its_line_goes_on(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe.load(BASELINE)
    source = f"file:{Path(recipe.data.source.partition(':')[2]).absolute()}"
    recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": source})}).save(BASELINE)
    with monkeypatch.context() as before:
        before.setattr(DataConfig, "place", property(lambda config: config.source))
        promote(ledger, BASELINE, *pair(ledger), None, {})
    text, said = BASELINE.read_text(), list[str]()
    champion = settle(ledger, BASELINE, said.append)
    assert kinds(ledger) == ["adopt", "promote"] and said == []
    assert ledger.promotions.champion(TRACK) == champion.fingerprint == Recipe.load(BASELINE).fingerprint
    revert(ledger, BASELINE)
    assert BASELINE.read_text() != text and kinds(ledger) == ["adopt", "promote", "revert"]
    settle(ledger, BASELINE, said.append)
    assert kinds(ledger) == ["adopt", "promote", "revert"] and said == []


def test_a_champion_whose_code_a_person_edited_is_another_one(ledger: Ledger) -> None:
    part = Path("workspace/modules/activation/own.py")
    part.parent.mkdir(parents=True)
    code = (Path(foundry.__file__).parent / "modules/activation/gelu.py").read_text()
    part.write_text(code)
    mutate(Recipe.load(BASELINE), "activation:own")[0].save(BASELINE)
    first = settle(ledger, BASELINE)
    part.write_text(code + "\nEDITED = 1\n")
    assert settle(ledger, BASELINE).fingerprint != first.fingerprint and kinds(ledger) == ["adopt", "adopt"]


def test_what_was_promoted_is_shown_by_its_own_name_not_by_its_files(ledger: Ledger) -> None:
    baseline, winner = pair(ledger)
    promote(ledger, BASELINE, baseline, winner, None, {})
    standing = settle(ledger, BASELINE)
    ledger.recipes.put(standing)
    row = ledger.recipes.get(winner.fingerprint)
    assert standing.name == baseline.name != winner.name and row is not None and row["name"] == winner.name


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_promotion_keeps_the_files_byte_order_mark_and_line_ends(ledger: Ledger, mark: str, end: str) -> None:
    text = mark + BASELINE.read_text().replace("\n", end)
    BASELINE.write_bytes(text.encode())
    baseline = settle(ledger, BASELINE)
    for mutation in ("norm:rmsnorm", "attention:mla"):  # a value that changes, and lines that come and go
        winner = mutate(settle(ledger, BASELINE), mutation)[0]
        promote(ledger, BASELINE, settle(ledger, BASELINE), winner, None, {})
        new = BASELINE.read_bytes().decode()
        assert Recipe.load(BASELINE).fingerprint == winner.fingerprint
        assert new.startswith(mark + text[len(mark) :][:20]) and new.count("\ufeff") == len(mark)
        assert new.count("\n") == new.count(end) and new.count("\r") == (new.count("\n") if "\r" in end else 0)
        assert [line.partition("#")[2] for line in new.split(end) if "#" in line]
    revert(ledger, BASELINE, baseline.fingerprint)
    assert BASELINE.read_bytes() == text.encode()


@pytest.fixture
def fake_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home_of_its_own(tmp_path, monkeypatch)


def test_once_the_sealed_reads_are_spent_a_promotion_stands_without_a_test_score(
    fake_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "TEST_READS_A_SEASON", 16)
    with FakeLab(Settings(jobs=2, device="cpu", judged_bytes=2048)) as lab:
        field = LiveEnvironment(lab, settle(lab.ledger, BASELINE), None)
        court = LedgerCertifier(field, BASELINE, BudgetRules(), 0.0, lambda *pair: None, None)
        at_once = partial(Question, deferred=False)
        monkeypatch.setattr(
            "foundry.campaign.certifier.Question", lambda *of, deferred=False, **more: at_once(*of, **more)
        )
        for word in ("weight_decay:0.03", "weight_decay:0.01"):
            assert court.certify(field.champion, field.apply(field.champion, word), word, None, 0.05).better
    first, second = [entry["record"] for entry in queries.lineage(str(BASELINE)) if entry["kind"] == "promote"]
    assert len(first["test_bpb"]) == 2 and first["test_why"] == ""
    assert second["test_bpb"] is None and "16 times" in second["test_why"]


def test_of_two_copies_of_a_sweep_both_say_the_one_promotion(fake_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed, other = promotion._sealed, []

    def swept() -> Any:
        with FakeLab(Settings(jobs=2, device="cpu", judged_bytes=2048)) as lab:
            return sweep(lab, BASELINE, SweepPlan(("lr:4e-3+norm:rmsnorm",), promote=True), lambda *pair: None)

    def meanwhile(*asked: Any) -> Any:
        monkeypatch.setattr(promotion, "_sealed", sealed)
        other.append(swept())  # from the other's last look at the champion to its compare-and-swap
        return sealed(*asked)

    monkeypatch.setattr(promotion, "_sealed", meanwhile)
    document = swept()
    assert document.promoted == "lr:4e-3+norm:rmsnorm" and document.promotion == other[0].promotion
    assert document.record == other[0].record
    with Ledger.open() as ledger:
        assert kinds(ledger) == ["adopt", "promote"]


def test_a_campaign_goes_on_from_what_a_person_writes_while_it_is_in_court(fake_home: None) -> None:
    edits: list[str] = []

    def told(event: dict[str, Any], state: Any) -> None:
        if event["kind"] == "court" and not edits:
            BASELINE.write_text(edited(BASELINE.read_text()))
            edits.append(Recipe.load(BASELINE).fingerprint)

    run_fake(90, told=told)
    assert edits, "it went to court"
    with Ledger.open() as ledger:
        line = ledger.promotions.lineage(TRACK)
        rebased = [event["champion"] for event in ledger.campaigns.events(TRACK) if event["kind"] == "rebased"]
    assert [entry["to_fp"] for entry in line if entry["kind"] == "adopt"][-1] == edits[0] and rebased[0] == edits[0]
    assert Recipe.load(BASELINE).to_dict()["model"]["layers"] == 2
