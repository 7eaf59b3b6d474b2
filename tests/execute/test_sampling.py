"""A run keeps what it needs to be used: its tokenizer, its recipe, its code, whatever becomes of the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from foundry.core.errors import WorkError
from foundry.execute.sampling import sample
from foundry.ledger.weights import tokenizer_file
from foundry.recipe import Recipe
from tests.home import small_lab, write_tiny

BASELINE = Path("experiments/baseline.yaml")
LETTERS = "abcdefgh \n"


def write_corpus(path: Path, letters: str) -> None:
    lines = ["".join(letters[(i * k + k) % len(letters)] for i in range(400)) for k in range(1, 40)]
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))


def trained(recipe: Recipe) -> str:
    with small_lab() as lab:
        result = lab.gather([(lab.arm_of(recipe), 1)])[0]
    assert result.ok, result.detail
    return result.id


def text(run: str, say: Callable[[str], None] = lambda line: None) -> str:
    return sample(run[:12], "a", 40, 1.0, 0, 3, say)["text"]


@pytest.fixture
def corpus(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text of LETTERS that the baseline trains on, in a cache of its own."""
    monkeypatch.setenv("FOUNDRY_CACHE", str(tmp_path / "cache"))
    write_corpus(tmp_path / "good.jsonl", LETTERS)
    write_tiny(BASELINE, data__source=f"file:{tmp_path / 'good.jsonl'}")
    return tmp_path / "good.jsonl"


def test_a_run_speaks_its_own_letters_whatever_becomes_of_the_corpus_and_says_how_far_it_is(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(Recipe.load(BASELINE))
    said = text(run)
    assert set(said) <= set(LETTERS)
    monkeypatch.setattr("foundry.core.pace.LINE_SECONDS", 0.0)
    lines: list[str] = []
    assert text(run, lines.append) == said
    assert lines[0] == "writing 40 tokens with baseline, seed 1" and lines[1:] == [
        f"  {count} of 40 tokens" for count in range(1, 41)
    ]
    write_corpus(corpus, LETTERS.upper() + "z")
    assert text(run) == said
    corpus.unlink()
    shutil.rmtree(tmp_path / "cache")
    BASELINE.unlink()
    assert text(run) == said


def test_a_run_of_a_time_that_kept_no_tokenizer_is_not_given_another_ones(corpus: Path) -> None:
    run = trained(Recipe.load(BASELINE))
    said = text(run)
    shutil.rmtree(tokenizer_file("").parent)
    assert text(run) == said
    write_corpus(corpus, LETTERS.upper())
    with pytest.raises(WorkError, match=r"sample\.other_data"):
        text(run)
