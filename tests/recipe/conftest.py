from pathlib import Path

import pytest

from foundry.recipe import Recipe

CLASSICAL = Path(__file__).with_name("classical.yaml")


@pytest.fixture(scope="session")
def text() -> str:
    return CLASSICAL.read_text()


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe.load(CLASSICAL)
