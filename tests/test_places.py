"""Where state lives, and what is said when it can't live there."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.data import corpus
from foundry.interface import cli
from tests.home import stop_forkserver


def homeless() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_variable_set_to_nothing_is_one_that_isnt_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("RUNS", "EXPERIMENTS", "WORKSPACE", "CACHE"):
        monkeypatch.setenv(f"FOUNDRY_{variable}", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = (places.runs(), places.experiments(), places.workspace(), places.cache())
    assert found == (Path("runs"), Path("experiments"), Path("workspace"), tmp_path / ".cache" / "foundry")


def test_without_a_home_the_cache_is_where_a_variable_says_and_else_the_variable_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setenv("FOUNDRY_CACHE", "/somewhere")
    assert places.cache() == Path("/somewhere")
    monkeypatch.delenv("FOUNDRY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert places.cache() == Path("/elsewhere/foundry")
    monkeypatch.delenv("XDG_CACHE_HOME")
    with pytest.raises(RequestError, match=r"places\.no_home.*set FOUNDRY_CACHE"):
        places.cache()
    assert places.mend("/nowhere/of/ours") == ""


def test_a_text_of_a_user_that_isnt_there_is_an_error_in_one_line() -> None:
    with pytest.raises(RequestError, match=r"data\.no_home.*nosuchuser"):
        corpus.open_source("file:~nosuchuser/x.txt").stamp()


def test_a_cache_that_cant_be_written_names_the_variable_that_moves_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "a file").touch()
    monkeypatch.setenv("FOUNDRY_CACHE", str(home / "a file" / "cache"))
    assert cli.main(["data", "prepare", "builtin:shakespeare"]) == 1
    assert "FOUNDRY_CACHE" in capsys.readouterr().err


NOBODY = """import pwd
import subprocess

def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = unknown
"""


@pytest.fixture
def own_forkserver(home: Path) -> Iterator[None]:
    stop_forkserver()
    yield
    stop_forkserver()


def test_a_user_whom_the_machine_doesnt_know_trains_where_the_cache_is_named(
    home: Path, own_forkserver: None, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "nobody").mkdir()
    (home / "nobody" / "sitecustomize.py").write_text(NOBODY)  # read by every Python that this one starts
    monkeypatch.setattr(pwd, "getpwuid", pwd.getpwuid)  # so that it is put back
    exec(NOBODY)
    for variable in ("HOME", "XDG_CACHE_HOME", "USER", "LOGNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(home / "nobody"))
    with pytest.raises(RuntimeError, match="home"):
        Path.home()
    assert cli.main(["train", "experiments/baseline.yaml", "--device", "cpu", "--judged-bytes", "2048"]) == 0, (
        capsys.readouterr().err
    )
