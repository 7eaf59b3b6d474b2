"""Prepared data that is small enough to be made for each session of tests."""

from __future__ import annotations

import random

import pytest

from foundry.data.config import DataConfig
from foundry.data.prepare import prepare
from foundry.data.prepared import Prepared


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder, draw = tmp_path_factory.mktemp("corpus"), random.Random(1)
    words = ["five", "boxing", "wizards", "jump", "quickly", "over", "a", "lazy", "dog", "while", "foxes", "mix"]
    for i in range(60):
        lines = (" ".join(draw.choices(words, k=8)) for _ in range(60))
        (folder / f"{i:02}.txt").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOUNDRY_CACHE", str(tmp_path_factory.mktemp("cache")))
        return prepare(DataConfig.model_validate({"source": f"file:{folder}", "tokenizer": "char"}))
