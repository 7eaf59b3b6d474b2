"""What log, show, diff and lineage promise: the right rows, from an index, however many runs there are."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.core.errors import RequestError
from foundry.core.fingerprint import fingerprint
from foundry.documents.runs import Edit
from foundry.ledger import queries
from foundry.ledger.file import LedgerFile
from foundry.ledger.ledger import Ledger
from tests.ledger.plain import FACTS, SCORE, PlainRecipe, PlainSpec, a_recipe, a_run

TRACK = "experiments/baseline.yaml"
RECORD = {"effect_bpb": 0.3, "n": 4, "remeasured": {"effect_bpb": 0.2, "interval_bpb": [0.1, 0.3], "n": 8}}
MANY = 100_000
STEPS_ALLOWED = 20_000  # SQLite's virtual machine: some hundreds a row shown; a scan of 100,000 rows takes a million


def an_id(kind: str, number: int) -> str:
    return hashlib.sha256(f"{kind} {number}".encode()).hexdigest()[:32]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with 100,000 runs of 200 recipes."""
    path = tmp_path_factory.mktemp("large") / "ledger.db"
    recipes = [an_id("recipe", i) for i in range(200)]
    ids = [an_id("run", i) for i in range(MANY)]
    with Ledger.open(path) as ledger, ledger._file.writing() as write:
        write.executemany(
            "INSERT INTO recipes(fingerprint, name, content, sources, created) VALUES (?, 'r', '{\"w\":1}', '{}', 0)",
            [(recipe,) for recipe in recipes],
        )
        write.executemany(
            "INSERT INTO runs(id, recipe, seed, budget_tokens, data_hash, judged_hash, status, reason, created) "
            "VALUES (?, ?, ?, 1000, 'd', 'j', ?, ?, 0)",
            [
                (run, recipes[i % 200], i, "done" if i % 1000 else "failed", None if i % 1000 else "nan")
                for i, run in enumerate(ids)
            ],
        )
        write.executemany(
            "INSERT INTO scores(run, split, bpb, bytes, tokens, seconds, probes, protocol, created) "
            "VALUES (?, 'validation', 2.5, 1, 1, 1, '{}', '', 0)",
            [(run,) for i, run in enumerate(ids) if i % 1000],
        )
        write.executemany(
            "INSERT INTO promotions(id, track, kind, to_fp, mutation, old_text, new_text, effect, created) "
            "VALUES (?, ?, 'adopt', ?, 'm', '', '', '{}', 0)",
            [(an_id("p", i), f"track-{i}", recipes[0]) for i in range(1000)],
        )
    return path


@contextlib.contextmanager
def counted(file: LedgerFile, steps: list[int]) -> Iterator[LedgerFile]:
    """Count the virtual machine's steps, in tens."""

    def count() -> int:
        steps[0] += 10
        return 0

    file._connection.set_progress_handler(count, 10)
    yield file


QUERIES: dict[str, Callable[[Path], Any]] = {
    "log": lambda path: queries.log(path=path),
    "log of a rare status": lambda path: queries.log(status="failed", path=path),
    "log of a common status": lambda path: queries.log(status="done", path=path),
    "log of an absent status": lambda path: queries.log(status="running", path=path),
    "log of a recipe": lambda path: queries.log(recipe=an_id("recipe", 7), path=path),
    "log of a recipe and a rare status": lambda path: queries.log(
        recipe=an_id("recipe", 0), status="failed", path=path
    ),
    "show a run": lambda path: queries.show(an_id("run", 99_000), path),
    "show a run by its beginning": lambda path: queries.show(an_id("run", 777)[:12], path),
    "show a recipe": lambda path: queries.show(an_id("recipe", 3), path),
    "show a promotion": lambda path: queries.show(an_id("p", 3), path),
    "diff": lambda path: queries.diff(an_id("run", 5), an_id("run", 6), path),
    "lineage": lambda path: queries.lineage("track-500", path),
}


@pytest.mark.parametrize("name", QUERIES)
def test_with_100_000_runs_every_answer_takes_few_steps(
    large: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [0]
    opened = LedgerFile.open_to_read

    def open_counted(path: Path) -> LedgerFile | None:
        file = opened(path)
        assert file is not None
        with counted(file, steps):
            return file

    monkeypatch.setattr(LedgerFile, "open_to_read", open_counted)
    assert QUERIES[name](large) is not None
    assert 0 < steps[0] < STEPS_ALLOWED


def test_without_an_index_the_same_question_takes_too_many(large: Path) -> None:
    """The negative control of the step count."""
    steps = [0]
    file = LedgerFile.open_to_read(large)
    assert file is not None
    with counted(file, steps):
        file.rows("SELECT * FROM runs NOT INDEXED WHERE recipe = ? LIMIT 20", "nowhere")
    file.close()
    assert steps[0] > 10 * STEPS_ALLOWED


def test_the_log_is_newest_first_filtered_and_limited(large: Path) -> None:
    rows = queries.log(limit=3, path=large)
    assert [row["seed"] for row in rows] == [99_999, 99_998, 99_997]
    assert rows[0]["val_bpb"] == 2.5 and rows[0]["name"] == "r" and rows[0]["status"] == "done"
    assert [row["seed"] for row in queries.log(limit=2, status="failed", path=large)] == [99_000, 98_000]
    recipe = an_id("recipe", 7)
    assert {row["recipe"] for row in queries.log(recipe=recipe[:10], path=large)} == {recipe}
    with pytest.raises(RequestError, match="did you mean 'failed'"):
        queries.log(status="fail", path=large)


def test_a_run_whose_owner_died_is_not_shown_as_running(ledger: Ledger, path: Path) -> None:
    run = a_run(ledger)
    ledger.runs.claim(run)
    assert queries.log(path=path)[0]["status"] == "running"
    with ledger._file.writing() as write:
        write.execute("UPDATE runs SET owner = 'an-earlier-boot:1:1'")
    assert queries.log(path=path)[0]["status"] == "queued" and queries.show(run, path)["status"] == "queued"


def test_an_ambiguous_beginning_names_what_it_could_mean(large: Path) -> None:
    with pytest.raises(RequestError, match=r"show\.ambiguous.*run .*give more digits"):
        queries.show("a", large)
    with pytest.raises(RequestError, match=r"show\.unknown"):
        queries.show("f" * 32, large)
    for hostile in ("", "%", "a' OR 1=1", "é"):
        with pytest.raises(RequestError):
            queries.show(hostile, large)


def test_showing_a_run_tells_its_recipe_scores_and_reads(ledger: Ledger, path: Path) -> None:
    run = a_run(ledger, width=64)
    fence = ledger.runs.claim(run)
    assert fence is not None
    ledger.runs.trained(run, fence, FACTS)
    ledger.runs.add_score(run, "validation", SCORE)
    ledger.runs.read_split("test", run, "promotion")
    shown = queries.show(run[:8], path)
    assert (shown["kind"], shown["run"], shown["val_bpb"], shown["train_loss"]) == ("run", run, 2.5, 1.5)
    assert shown["scores"][0]["probes"] == {"future": 0.0} and shown["split_reads"][0]["split"] == "test"
    assert shown["content"]["width"] == 64
    recipe = queries.show(shown["recipe"], path)
    assert recipe["kind"] == "recipe" and recipe["runs"][0]["run"] == run


def test_showing_a_verdict_and_a_promotion_tells_what_changed(ledger: Ledger, path: Path) -> None:
    a, b = a_recipe(ledger, width=1), a_recipe(ledger, width=2)
    verdict_id = fingerprint("v")
    ledger.verdicts.record("key", 0, "certify", a, b, {"comparison": verdict_id, "verdict": "better", "n": 4})
    ledger.promotions.adopt(TRACK, a, "width: 1")
    promotion = ledger.promotions.promote(
        TRACK, expected=a, to=b, mutation="width:2", verdict=verdict_id, old_text="o", new_text="n", effect=RECORD
    )
    verdict = queries.show(verdict_id, path)
    assert (verdict["kind"], verdict["comparison_kind"], verdict["verdict"]) == ("comparison", "certify", "better")
    assert (verdict["comparison"], verdict["baseline_recipe"]) == (verdict_id, a)
    shown = queries.show(promotion, path)
    assert shown["edits"] == [{"path": "width", "old": 1, "new": 2}] and RECORD.items() <= shown["record"].items()
    assert (shown["effect_bpb"], shown["n"]) == (0.2, 8), "the effect is the one measured again"
    line = queries.lineage(TRACK, path)
    assert [entry["to_recipe"] for entry in line] == [a, b] and not hasattr(line[0], "old_text")
    assert {key: line[1][key] for key in ("promotion", "comparison", "effect_bpb", "n")} == {
        "promotion": promotion, "comparison": verdict_id, "effect_bpb": 0.2, "n": 8,
    }  # fmt: skip


def test_a_diff_of_two_runs_tells_what_else_differs(ledger: Ledger, path: Path) -> None:
    values = {"model": {"width": 64, "attention": {"kind": "gqa", "heads": 4}, "norm": {"kind": "rmsnorm"}}}
    spec = PlainSpec(PlainRecipe("a", values), seed=1)
    other = PlainSpec(PlainRecipe("b", values), seed=2)
    for each in (spec, other):
        ledger.runs.put(each)  # type: ignore[arg-type]
    assert queries.diff(spec.id, other.id, path) == (Edit(path="run.seed", old=1, new=2),)
    with pytest.raises(RequestError, match=r"show\.unknown"):
        queries.diff(spec.id, "0" * 32, path)


def test_a_diff_with_a_file_is_of_recipes_as_they_train(ledger: Ledger, path: Path, home: Path) -> None:
    from foundry.recipe import Recipe

    file = home / "experiments" / "baseline.yaml"
    ledger.recipes.put(Recipe.load(file))
    text = file.read_text()
    short = home / "short.yaml"
    assert "  precision: fp32\n" in text and "kv_heads: 2" in text
    short.write_text(text.replace("  precision: fp32\n", "").replace("kv_heads: 2", "kv_heads: 1"))
    changed = (Edit(path="model.attention.kv_heads", old=2, new=1),)
    assert queries.diff(Recipe.load(file).fingerprint, str(short), path) == changed, (
        "a default left out is no difference"
    )
    short.write_text(text.replace("kv_heads: 2", 'kv_heads: "2"'))
    with pytest.raises(RequestError, match=r"recipe\.bad_value.*kv_heads: input should be a valid integer"):
        queries.diff(str(file), str(short), path)


def test_a_folder_in_a_recipes_place_is_called_one(ledger: Ledger, path: Path, home: Path) -> None:
    with pytest.raises(RequestError, match=r"a folder is no recipe.*experiments/\*\.yaml"):
        queries.diff("experiments", "experiments/baseline.yaml", path)
    with pytest.raises(RequestError, match=r"of that id in the ledger; foundry log"):
        queries.diff("abc", "experiments/baseline.yaml", path)


def test_one_and_one_point_zero_differ() -> None:
    assert queries.plain_diff({"x": 1}, {"x": 1.0}) == (Edit(path="x", old=1, new=1.0),)


def test_where_there_is_no_ledger_there_is_nothing_to_show(path: Path) -> None:
    assert queries.log(path=path) == [] and queries.lineage("experiments/baseline.yaml", path=path) == []
    with pytest.raises(RequestError, match=r"show\.unknown"):
        queries.show("a", path)
    assert not path.exists()


def test_queries_cant_write(ledger: Ledger, path: Path) -> None:
    with queries.reading(path) as file:
        assert file is not None
        with pytest.raises(sqlite3.OperationalError):
            file._connection.execute("DELETE FROM recipes")


def test_a_whole_process_that_reads_imports_nothing_heavy(large: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from foundry.ledger import queries\n"
        "rows = queries.log(path=Path(sys.argv[1])); queries.show(rows[0]['run'], Path(sys.argv[1]))\n"
        "print([name for name in ('torch', 'pydantic', 'numpy', 'ruamel') if name in sys.modules])"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script, str(large)], capture_output=True, text=True)
    print(f"log and show of 100,000 runs: {time.monotonic() - start:.3f} s as a whole process")
    assert done.stdout == "[]\n", done.stderr
