"""What callers can and can't do with the error budget; and that what only reads changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundry.compare.alpha_spending import BudgetRules, new_season, open_test, state, summary
from foundry.core.errors import RequestError
from foundry.interface.cli import main
from foundry.ledger import queries
from foundry.ledger.ledger import Ledger
from tests.home import older_ledger
from tests.schema import text

READING = [
    ["log"],
    ["history"],
    ["lineage"],
    ["verify"],
    ["lineage", "experiments/baseline.yaml"],
    ["diff", "experiments/baseline.yaml", "experiments/baseline.yaml"],
    ["budget"],
    ["kinds"],
    ["mutate"],
]


def spent_by(ledger: Ledger, *options: BudgetRules) -> list[float]:
    """The α of one test with each of the options, refused ones left out."""
    found: list[float] = []
    for i, rules in enumerate(options):
        try:
            found.append(open_test(ledger, f"question {i}", rules).alpha)
        except RequestError as error:
            assert error.code == "budget.other_rules" and "--new-season" in str(error)
    return found


def test_no_option_renews_the_budget(home: Path) -> None:
    same = [BudgetRules(), BudgetRules(q=0.1), BudgetRules(control="fdr", base_pairs=12)]
    other = [BudgetRules(q=0.1000001), BudgetRules(q=0.2), BudgetRules(control="fwer"), BudgetRules(base_pairs=13)]
    with Ledger.open() as ledger:
        alphas = spent_by(ledger, BudgetRules(q=0.1), *other, *same, *other)
        assert len(alphas) == 4 and alphas == sorted(alphas, reverse=True) and len(set(alphas)) == 4
        assert ledger.budget.history(1).tests == 4 and ledger.budget.season(None) == ledger.budget.season()


def test_a_command_with_other_rules_is_refused_before_it_trains(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger.open() as ledger:
        open_test(ledger, "a question", BudgetRules())
    for command in (["sweep", "norm", "--promote"], ["campaign", "--runs", "50"]):
        assert main([*command, "--q", "0.2"]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and "q 0.1" in err and "foundry budget --new-season" in err
    with Ledger.open() as ledger:
        assert ledger._file.rows("SELECT * FROM runs") == []  # pyright: ignore[reportPrivateUsage]


def test_a_person_opens_a_season_on_the_record(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger.open() as ledger:
        open_test(ledger, "a question", BudgetRules())
    assert main(["budget", "--new-season", "--json"]) == 2, "not without a reason"
    assert main(["budget", "--q", "0.2", "--json"]) == 2, "nor by an option alone"
    capsys.readouterr()
    assert main(["budget", "--new-season", "--q", "0.2", "--why", "a new text", "--who", "anna", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["q"], found["tests"], found["spent"]) == (0.2, 0, 0.0)
    assert (found["opened_by"], text(found["why"])) == ("anna", "a new text") and found["opened_unix"] > 0
    assert main(["budget"]) == 0 and "anna: a new text" in capsys.readouterr().out


def test_what_a_season_has_spent_is_what_its_tests_were_given(home: Path) -> None:
    with Ledger.open() as ledger:
        for control, q in (("fdr", 0.1), ("fwer", 0.2), ("per-comparison", 0.01)):
            new_season(ledger, BudgetRules(control, q), "anna", "a test")  # type: ignore[arg-type]
            season = ledger.budget.season()
            assert season is not None
            for i in range(5):
                open_test(ledger, f"{control} {i}", BudgetRules())
            now = state(ledger.budget.history(season["id"]))
            alphas = [test.alpha for test in ledger.budget.tests(season["id"])]
            assert now.spent == (0.0 if control == "per-comparison" else pytest.approx(sum(alphas)))
            assert (now.control, now.q, now.tests) == (control, q, 5)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder, with the contents of the files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_commands_that_read_make_nothing_where_there_is_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(home)
    for command in READING:
        for arguments in (command, [*command, "--json"]):
            assert main(arguments) == 0, capsys.readouterr().err
            assert tree(home) == before, arguments


def test_commands_that_read_change_nothing_that_is_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from foundry.recipe import Recipe

    with Ledger.open() as ledger:
        ledger.recipes.put(Recipe.load("experiments/baseline.yaml"))
        fingerprint = Recipe.load("experiments/baseline.yaml").fingerprint
        ledger.promotions.adopt("experiments/baseline.yaml", fingerprint, "# text")
        open_test(ledger, "a question", BudgetRules())
    before = tree(home)
    for command in (*READING, ["show", fingerprint]):
        assert main(command) == 0, capsys.readouterr().err
        assert tree(home) == before, command
    with Ledger.open() as ledger:
        ledger.keep_setting("a", 1)
    assert tree(home) != before, "the same look sees a row that changes"


@pytest.mark.parametrize("version", [2, 3])
def test_a_ledger_of_an_older_version_is_read_as_it_is_and_goes_on_where_it_was(home: Path, version: int) -> None:
    path = home / "runs" / "ledger.db"
    rules = {"control": "fdr", "q": 0.1, "base_pairs": 12, "max_pairs": 24}
    season = f"INSERT INTO seasons(id, rules, created) VALUES (1, '{json.dumps(rules)}', 0.0)"
    test = "INSERT INTO tests(key, season, j, alpha, promotions_at_start, created) VALUES ('k', 1, 1, .01, 0, 0)"
    older_ledger(path, version, (season, test))
    before = path.read_bytes()
    found = summary()
    assert (found["season"], found["tests"], found["spent"], found["opened_by"]) == (1, 1, 0.01, "rule")
    assert queries.log() == [] and queries.weights().to_dict() == {"runs": 0, "bytes": 0}
    assert path.read_bytes() == before
    with Ledger.open() as ledger:
        following = open_test(ledger, "next", BudgetRules())
        assert (following.season, following.j) == (1, 2) and following.alpha < 0.01
        assert open_test(ledger, "k", BudgetRules()).j == 1
