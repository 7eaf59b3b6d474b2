from pathlib import Path

import pytest

from foundry.recipe import Recipe

CLASSICAL = Path(__file__).parents[1] / "recipe" / "classical.yaml"


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe.load(CLASSICAL)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace of agents' code."""
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(tmp_path / "workspace"))
    return tmp_path / "workspace"
