"""Code is part of what a run is: the source of what trains it and of what judges it, not its comments."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.core import source_code, yaml_io
from foundry.judge.code import SCORES, judging_code
from foundry.train.code import training_code
from tests.home import ROOT, write_tiny

BASELINE = yaml_io.load(ROOT / "experiments/baseline.yaml")
MUON = {**BASELINE, "train": {**BASELINE["train"], "optimizer": {"kind": "muon", "lr": 0.02}}}
Edit = Callable[[str, str, str], None]


def forget() -> None:
    source_code._look.cache_clear()
    source_code._version.cache_clear()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return shutil.copytree(ROOT / "src/foundry", tmp_path / "src/foundry", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture
def edit(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """Put new text in place of old in a file of a copy of the package, and look at the copy."""
    monkeypatch.setattr(source_code, "ROOT", package)
    forget()

    def change(name: str, old: str, new: str) -> None:
        text = (package / name).read_text()
        assert old in text
        (package / name).write_text(text.replace(old, new))
        forget()

    yield change
    forget()


def add_a_line(edit: Edit, name: str) -> None:
    text = (source_code.ROOT / name).read_text()
    edit(name, text, text + "\nX = 1\n")


@pytest.mark.parametrize(
    "name",
    [
        *("modules/activation/gelu.py", "modules/feedforward.py", "modules/layers.py", "modules/attention/__init__.py"),
        *("model.py", "population.py", "train/loop.py", "train/worker.py", "train/checkpoint.py"),
        *("data/stream.py", "core/seeds.py"),
    ],
)
def test_whatever_trains_a_recipe_is_part_of_its_runs(edit: Edit, name: str) -> None:
    trains, judges = training_code(BASELINE), judging_code()
    add_a_line(edit, name)
    assert training_code(BASELINE) != trains and judging_code() == judges


def test_a_part_counts_where_it_is_named_and_what_it_is_made_of_too(edit: Edit) -> None:
    baseline, muon = training_code(BASELINE), training_code(MUON)
    edit("modules/newton_schulz.py", "for ", "for  ")
    assert training_code(MUON) == muon
    edit("modules/newton_schulz.py", "@", "+")
    assert training_code(MUON) != muon and training_code(BASELINE) == baseline
    changed = source_code.changed(muon)
    assert changed == ["modules/newton_schulz.py"] and source_code.changed(baseline) == []


def test_a_file_is_read_once_in_however_many_recipes_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    parsed: list[bytes] = []
    parse = source_code.ast.parse
    monkeypatch.setattr(source_code.ast, "parse", lambda text: parsed.append(text) or parse(text))
    found = {name for recipe in (BASELINE, MUON, BASELINE) for name in training_code(recipe)}
    assert len(parsed) == len(found - {"torch"})


def test_comments_docstrings_and_layout_are_no_part_of_it(edit: Edit) -> None:
    before, judged = training_code(BASELINE), judging_code()
    edit("train/loop.py", '"""The training loop', '"""Another word for the training loop')
    edit("train/loop.py", "class StepInfo(NamedTuple):", "# a comment\n\nclass StepInfo(NamedTuple):  # and more")
    edit("judge/score.py", "import", "import")
    assert training_code(BASELINE) == before and judging_code() == judged


def test_another_torch_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = training_code(BASELINE)
    forget()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.0")
    assert source_code.changed(before) == ["torch"]
    forget()


@pytest.mark.parametrize("name", [*(f"judge/{name}.py" for name in SCORES), "data/eval_split.py"])
def test_whatever_scores_is_part_of_the_protocol_and_of_no_run(edit: Edit, name: str) -> None:
    trains, judges = training_code(BASELINE), judging_code()
    add_a_line(edit, name)
    assert judging_code() != judges and training_code(BASELINE) == trains


def test_a_part_that_was_edited_in_the_package_is_trained_anew(tmp_path: Path, package: Path) -> None:
    write_tiny(tmp_path / "experiments/baseline.yaml")

    def foundry(*arguments: str) -> Any:
        environment = {**os.environ, "PYTHONPATH": str(package.parent)}
        command = [sys.executable, "-P", "-m", "foundry", *arguments, "--json"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    asked = ("train", "experiments/baseline.yaml", "--judged-bytes", "2048", "--device", "cpu")
    first = foundry(*asked)
    part = package / "modules/activation/gelu.py"
    part.write_text(part.read_text() + "\n# a comment\n")
    assert foundry(*asked) == first and foundry("log", "--stale")["runs"] == []
    part.write_text(part.read_text().replace("F.gelu", "F.silu"))
    second = foundry(*asked)
    assert second["run"] != first["run"] and second["val_bpb"] != first["val_bpb"]
    assert [row["run"] for row in foundry("log", "--stale")["runs"]] == [first["run"]]
    assert foundry("show", first["run"])["code"]["changed"] == ["modules/activation/gelu.py"]
    assert foundry("show", second["run"])["code"]["changed"] == []
