"""A small user: a working directory with a recipe whose runs take a fraction of a second."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.core import code
from foundry.core.files import as_document
from foundry.data.config import DataConfig
from foundry.data.prepare import prepare
from foundry.data.prepared import Prepared
from foundry.execute import forkserver
from foundry.interface import terminal
from tests import schema
from tests.home import write_tiny


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True, scope="session")
def checked_documents() -> Iterator[None]:
    """Every document that a test has printed must fit docs/schema.json."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(terminal, "as_document", lambda values: schema.check(as_document(values)))
        yield


@pytest.fixture(autouse=True, scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where ledgers' keys lie: never in the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FOUNDRY_KEYS", str(folder := tmp_path_factory.mktemp("keys")))
        yield folder


@pytest.fixture
def home(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with `experiments/baseline.yaml`."""
    for name in ("FOUNDRY_RUNS", "FOUNDRY_EXPERIMENTS", "FOUNDRY_WORKSPACE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FOUNDRY_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path / "experiments" / "baseline.yaml")
    forkserver.begin()  # one for all tests, with torch, whichever of them is the first to need it
    return tmp_path


@pytest.fixture
def admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workspace code runs in this process, as it does in a confined one."""
    monkeypatch.setattr(code, "_admitted", True)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Prepared data that is small enough to be made for each process of tests."""
    folder, draw = tmp_path_factory.mktemp("corpus"), random.Random(1)
    words = ["five", "boxing", "wizards", "jump", "quickly", "over", "a", "lazy", "dog", "while", "foxes", "mix"]
    for i in range(60):
        lines = (" ".join(draw.choices(words, k=8)) for _ in range(60))
        (folder / f"{i:02}.txt").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOUNDRY_CACHE", str(tmp_path_factory.mktemp("cache")))
        return prepare(DataConfig.model_validate({"source": f"file:{folder}", "tokenizer": "char"}))
