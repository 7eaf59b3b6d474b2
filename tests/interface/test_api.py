"""foundry.Project: the command line's verbs as methods, with the same documents, in any folder of any process."""

from __future__ import annotations

import inspect
import json
import keyword
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import foundry
from foundry.core import places
from foundry.core.files import as_document
from foundry.documents import page, runs, schema
from foundry.documents.campaign import Campaign
from foundry.documents.failure import Failure
from foundry.interface import jobs, options
from foundry.interface.cli import main
from foundry.ledger.lease import Owner
from foundry.promote import adopt
from tests.home import write_tiny

SMALL = {"judged_bytes": 2048, "device": "cpu"}
PART = '"""GELU again."""\nfrom foundry.modules.activation import gelu\n\n\nclass Config(gelu.Config):\n    pass\n'
GONE = Owner("gone", 1, 1)
READS = {
    "log",
    "show",
    "diff",
    "lineage",
    "verify",
    "budget",
    "kinds",
    "history",
    "proposals",
    "mutate",
}

SERVES = {"serve", "mcp"}
"""Verbs that say something long before they end."""
REFUSED = {"sample", "stop", "curve", "track", "export", "import"}
"""Verbs that this place has nothing for: nothing runs, no run has left a file, no tracker is installed."""


def calls(promoted: Campaign) -> dict[str, list[tuple[tuple[str, ...], dict[str, Any]]]]:
    """Every verb, with its values and its options. Where a call can be made once, once for each skin."""
    promotion, baseline = promoted.promotions[0], "experiments/baseline.yaml"
    run = "" if not Path("runs").exists() else foundry.Project(".").log(limit=1).runs[0].run
    two = ["cli", "api"]
    return {
        "init": [((name,), {"corpus": "builtin:python"}) for name in two],
        "skill": [((), {})],
        "train": [((baseline,), {"seed": 3, **SMALL})],
        "compare": [((baseline, "space.yaml.b.yaml"), {"max_pairs": 3, "alpha": 0.2, **SMALL})],
        "sweep": [(("lr:1e-4", "lr:1e-3"), {"seeds": 1, "jobs": 2, **SMALL})],
        "campaign": [((), {"runs": 1, "strategy": "outside", **SMALL})],
        "propose": [(("depth:2",), {"why": "why not"})],
        "proposals": [((), {"limit": 5})],
        "history": [((), {"word": "lr"})],
        "reproduce": [((promotion.promotion,), {"pairs": 2, "device": "cpu"})],
        "sample": [((run,), {"tokens": 3})],
        "log": [((), {"limit": 3, "status": "done"})],
        "show": [((promotion.promotion,), {}), ((promotion.comparison or "",), {}), ((run,), {})],
        "diff": [((baseline, promotion.from_recipe or ""), {})],
        "lineage": [((), {})],
        "verify": [((), {})],
        "budget": [((), {})],
        "start": [(("train", baseline), {"key": "night"})],
        "wait": [(("night",), {})],
        "jobs": [((), {"limit": 1})],
        "ps": [((), {})],
        "stop": [((), {})],
        "clean": [((), {"older": "1d", "dry_run": True})],
        "curve": [((run,), {})],
        "export": [((run,), {"to": "out", "format": "foundry"})],
        "import": [(("nowhere",), {})],
        "report": [((), {"html": "page.html"})],
        "track": [(("mlflow",), {})],
        "kinds": [((), {})],
        "mutate": [((), {}), (("depth:2",), {"force": True})],
        "data": [(("builtin:shakespeare",), {"tokenizer": "char"})],
        "check": [(("workspace/modules/norm/broken.py",), {})],
        "adopt": [(("activation:mine",), {"force": True, "yes": True})],
        "rebuild": [((promotion.to_recipe, f"{name}-rebuilt"), {}) for name in two],
        "revert": [((), {})],
    }


def words(verb: str, values: tuple[str, ...], named: dict[str, Any]) -> list[str]:
    """A call as it is typed."""
    typed = [verb, *(["prepare"] if verb == "data" else []), *values]
    for name, value in named.items():
        typed += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return [*typed, "--json"]


def test_every_verb_is_a_method_with_the_keys_of_its_command(
    instant: Campaign, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(adopt, "PACKAGE", tmp_path / "src/package")
    monkeypatch.setattr(adopt, "CHECKOUT", tmp_path)
    monkeypatch.setattr(jobs, "_spawn", lambda job, *more: jobs.folder(job).mkdir(parents=True, exist_ok=True) or GONE)
    (tmp_path / "pyproject.toml").touch()
    write_tiny(Path("space.yaml.b.yaml"), train__optimizer__lr=1e-4, budget__tokens=64 * 32)
    (broken := Path("workspace/modules/norm/broken.py")).parent.mkdir(parents=True)
    broken.write_text("def (:\n")
    table, project = calls(instant), foundry.Project(".")
    assert table.keys() | SERVES == schema.VERBS.keys(), "a verb that the table doesn't call"
    mine, adopted = Path("workspace/modules/activation/mine.py"), tmp_path / "src/package/modules/activation/mine.py"
    for verb, asked in table.items():
        if verb == "revert":
            shutil.copytree(".", tmp_path.with_name("before"))
        for typed, called in [(each, each) for each in asked] if verb in READS else [(asked[0], asked[-1])]:
            mine.parent.mkdir(parents=True, exist_ok=True)
            mine.write_text(PART)
            main(words(verb, *typed))
            printed = json.loads(capsys.readouterr().out)
            mine.write_text(PART)
            adopted.unlink(missing_ok=True)
            if verb == "revert":
                shutil.copytree(tmp_path.with_name("before"), ".", dirs_exist_ok=True)
            try:
                document = getattr(project, f"{verb}_" if keyword.iskeyword(verb) else verb)(*called[0], **called[1])
            except foundry.FoundryError as error:
                assert verb in REFUSED and printed == as_document(Failure.of(error).to_dict()), (
                    f"{verb}: {error}, {printed}"
                )
                continue
            answered = as_document(document.to_dict())
            assert type(document) in schema.VERBS[verb] and "error" not in printed, f"{verb}: {printed}"
            assert answered.keys() == printed.keys(), verb
            assert verb not in READS - {"mutate", "verify"} or answered == printed, verb


def test_what_a_verb_says_before_its_end_is_printed_by_a_command_and_told_by_a_method(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def served(host: str, port: int, token: Any, campaign: Any, told: Any) -> None:
        told(page.Served(url=f"http://{host}:{port}", host=host, port=port, campaign=""), "")

    monkeypatch.setattr("foundry.interface.web.serve.serve", served)
    main(["serve", "--port", "9000", "--json"])
    printed, told = json.loads(capsys.readouterr().out), []
    foundry.Project(".", progress=told.append).serve(port=9000)
    assert told == [{key: value for key, value in printed.items() if key != "schema"}] and printed["port"] == 9000


def test_a_method_has_the_options_of_its_command_with_their_defaults_and_ranges(home: Path) -> None:
    signature = inspect.signature(foundry.Project.campaign)
    assert signature.parameters["judged_bytes"].default == options.Execution().judged_bytes
    assert "how" not in signature.parameters and "display" not in signature.parameters
    project = foundry.Project(home)
    wrong: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("usage", ("x.yaml",), {"sed": 1}),
        ("usage", ("x.yaml",), {"seed": -1}),
        ("usage", ("x.yaml",), {"seed": 1.5}),
        ("usage", ("x.yaml",), {"wall_seconds": float("nan")}),
        ("usage", ("x.yaml",), {"retry": "yes"}),
        ("usage", ("x.yaml",), {"recipe": "y.yaml"}),
        ("usage", (3,), {}),
        ("usage", (), {}),
        ("usage", ("x",) * 20, {}),
        ("yaml.no_file", ("x.yaml",), {"seed": 2**63 - 1, "device": "cpu"}),
    ]
    for code, given, named in wrong:
        with pytest.raises(foundry.FoundryError) as caught:
            project.train(*given, **named)
        assert caught.value.code == code and "\n" not in str(caught.value), (given, named)
    with pytest.raises(foundry.FoundryError, match="did you mean 'seed'"):
        project.train("x.yaml", sed=1)
    with pytest.raises(foundry.FoundryError, match=r"project\.no_folder"):
        foundry.Project(home / "experiments" / "baseline.yaml")
    with pytest.raises(foundry.FoundryError, match="queued"):
        project.proposals(status="waiting")


LIGHT = """
import sys, foundry
heavy = {"torch", "numpy", "typer", "pydantic", "rich"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
project = foundry.Project(".")
assert project.log().runs == () and project.kinds().slots["norm"]
assert not {"torch", "scipy"} & sys.modules.keys()
assert set(dir(foundry)) == {"FoundryError", "Project", "__version__"} and foundry.FoundryError
import foundry.interface.track.export
assert not {"torch", "scipy"} & sys.modules.keys()
import foundry.recipe
assert "torch" in sys.modules, "else this test sees nothing"
"""


def test_importing_foundry_imports_nothing_heavy_and_reading_no_torch(home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_two_projects_in_one_process_train_in_their_own_folders_wherever_it_stands(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, away = home / "first", home / "second", home / "away"
    for folder, lr in ((first, 1e-3), (second, 2e-3), (away, 3e-3)):
        (texts := folder / "texts").mkdir(parents=True)
        for i in range(8):
            (texts / f"{i}.txt").write_text(f"{folder.name} says {i}.\n" * 600)
        write_tiny(folder / "experiments/baseline.yaml", train__optimizer__lr=lr, data__source="file:texts")
    one, two = foundry.Project(first), foundry.Project(str(second))
    monkeypatch.chdir(away)
    trained = [project.train("experiments/baseline.yaml", **SMALL) for project in (one, two)]
    assert [run.status for run in trained] == ["done", "done"]
    assert [[row.run for row in project.log().runs] for project in (one, two)] == [[run.run] for run in trained]
    assert not (away / "runs").exists() and places.runs() == Path("runs") and Path.cwd() == away
    edits = one.diff("experiments/baseline.yaml", "../second/experiments/baseline.yaml")
    assert [edit.path for edit in edits.edits] == ["train.optimizer.lr"]
    monkeypatch.chdir(first)  # what a command there says is what the project said
    assert foundry.Project(".").train("experiments/baseline.yaml", **SMALL) == trained[0]
    monkeypatch.setenv("FOUNDRY_EXPERIMENTS", "others")
    write_tiny(second / "others/baseline.yaml", train__optimizer__lr=5e-3)
    assert two.mutate("depth:2")["file"] == str(second / "others/depth_2.yaml")
    assert not (second / "experiments/depth_2.yaml").exists()


def test_an_interrupted_call_leaves_what_the_next_one_goes_on_with(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny(Path("experiments/long.yaml"), budget__tokens=64 * 1500)
    monkeypatch.setattr("foundry.interface.progress.Calls.every_seconds", 0.0)

    def interrupt(fact: dict[str, Any]) -> None:
        if fact.get("step", 0) > 0:
            raise KeyboardInterrupt

    project = foundry.Project(".")
    with pytest.raises(KeyboardInterrupt):
        project.train("experiments/long.yaml", progress=interrupt, **SMALL)
    (row,) = project.log().runs
    assert (row.status, row.attempts, row.val_bpb) == ("queued", 1, None) and any(Path("runs").glob("*/checkpoint"))
    resumed = project.train("experiments/long.yaml", resume=True, **SMALL)  # which insists on a checkpoint
    (row,) = project.log().runs
    assert (row.run, row.status, row.attempts, row.steps) == (resumed.run, "done", 2, 1500)


def test_progress_is_told_to_a_function_and_nothing_is_printed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[dict[str, Any]] = []
    trained = foundry.Project(".", progress=told.append).train("experiments/baseline.yaml", **SMALL)
    assert [fact for fact in told if fact.get("stage")] and told[-1]["run"] == trained.run
    foundry.Project(".", progress=told.append).train("experiments/baseline.yaml", progress=None, seed=1, **SMALL)
    assert told[-1]["run"] == trained.run, "a call's own progress is the call's"
    assert capsys.readouterr() == ("", "")


def test_a_loop_of_ones_own_asks_runs_and_learns_and_asks_nothing_twice(instant: Campaign) -> None:
    study = foundry.Project(".").asking(strategy="random", space="space.yaml", seeds=1, **SMALL)
    tried: set[str] = set()
    while asked := study.ask(3):
        assert not tried & {each.recipe for each in asked} and all(each.edits for each in asked)
        tried |= {each.recipe for each in asked}
        study.run(*asked)
        if len(tried) > 8:
            break
    mine = study.run("lr:3e-3")
    assert [row.mutation for row in mine.candidates] == ["lr:3e-3"] and study.trials[-1].by == "outside"
    assert len(study.trials) == len(tried) + 1 and study.best is not None
    assert study.best.gain_bpb == max(trial.gain_bpb or -9.0 for trial in study.trials)
    with pytest.raises(foundry.FoundryError, match=r"strategy\.unknown"):
        foundry.Project(".").asking(strategy="outsid")


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</td><script>", "\x1b[31m", "a\u202eb", "&lt;"])
def test_a_notebook_shows_foreign_text_and_obeys_none_of_it(text: str) -> None:
    row = {"recipe": text, "name": text, "content": {text: {text: [text]}}, "sources": {text: {"text": text}}}
    html = runs.RecipeShown.from_dict(row)._repr_html_()
    assert text not in html or (text.isprintable() and "<" not in text and "&" not in text)
    assert "<script" not in html and "<img" not in html and html.isprintable()
    log = runs.Log.from_dict({"runs": [{"name": text}] * 150, "weights": {}})._repr_html_()
    assert "and 50 more" in log and log.count("<tr>") < 130


def test_a_notebook_shows_an_error_as_its_one_line() -> None:
    error = foundry.FoundryError("a.code", "there", "it broke", hint="mend it")
    assert error._render_traceback_() == ["[a.code] there: it broke; mend it"]
    assert os.linesep not in str(error)
