"""Judged text: the same raw stretches for every tokenizer, every byte predicted exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foundry.core.errors import RequestError, WorkError
from foundry.data import manifest_dir
from foundry.data.config import DataConfig
from foundry.data.eval_split import STRETCH_BYTES, JudgedSplit, Stretch
from foundry.data.prepare import prepare
from foundry.data.split import JUDGED
from foundry.data.tokenizer import SLOT, Tokenizer
from tests.data.conftest import named

Make = Callable[..., DataConfig]


@pytest.fixture(params=SLOT.kinds())
def opened(request: pytest.FixtureRequest, config: Make, tmp_path: Path) -> tuple[JudgedSplit, Tokenizer]:
    prepared = prepare(config(tokenizer=named(request.param, tmp_path)))
    return JudgedSplit.open(prepared.judge_dir, "validation"), prepared.tokenizer()


def raw(stretches: list[Stretch], tokenizer: Tokenizer) -> list[str]:
    return [tokenizer.decode(stretch.ids[1:]) for stretch in stretches]


def test_stretches_together_are_whole_documents(opened: tuple[JudgedSplit, Tokenizer], texts: Path) -> None:
    judged, tokenizer = opened
    documents: list[str] = []
    for stretch, text in zip(stretches := judged.select(1 << 40), raw(stretches, tokenizer), strict=True):
        if stretch.ids[0] == 0:
            documents.append("")
        documents[-1] += text
    assert set(documents) <= {path.read_text() for path in texts.iterdir()} and len(stretches) > len(documents) > 0


def test_bytes_are_exactly_those_of_the_ids_and_of_the_text(opened: tuple[JudgedSplit, Tokenizer]) -> None:
    judged, tokenizer = opened
    for stretch, text in zip(stretches := judged.select(1 << 40), raw(stretches, tokenizer), strict=True):
        assert stretch.bytes == judged.token_bytes[stretch.ids[1:]].sum() == len(text.encode()) <= STRETCH_BYTES


def test_a_stretch_is_conditioned_on_a_document_mark_or_a_newline(opened: tuple[JudgedSplit, Tokenizer]) -> None:
    judged, tokenizer = opened
    newline = tokenizer.encode("\n")[0]
    assert {int(stretch.ids[0]) for stretch in judged.select(1 << 40)} == {0, int(newline)}


def test_every_tokenizer_is_judged_on_the_same_raw_stretches(config: Make, tmp_path: Path) -> None:
    for budget in (1, 3000, 9000, 1 << 40):
        texts = []
        for kind in SLOT.kinds():
            prepared = prepare(config(tokenizer=named(kind, tmp_path)))
            texts.append(raw(JudgedSplit.open(prepared.judge_dir, "test").select(budget), prepared.tokenizer()))
        assert texts[0] and all(text == texts[0] for text in texts)


def test_a_selection_keeps_to_its_bytes_and_is_evenly_spaced(tmp_path: Path, config: Make) -> None:
    (tmp_path / "long.txt").write_text("".join(f"{number} bottles of beer on the wall\n" for number in range(60_000)))
    judged = JudgedSplit.open(prepare(config(source=f"file:{tmp_path}/long.txt")).judge_dir, "validation")
    assert len(judged) > 20
    for budget in (1, 2048, 10_000, 40_000):
        numbers = judged.numbers(budget)
        assert len(numbers) == 1 or judged.bytes[numbers].sum() <= budget
        if len(numbers) > 1:
            gaps = np.diff(numbers)
            assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


def test_splits_share_no_text(config: Make) -> None:
    prepared = prepare(config())
    tokenizer = prepared.tokenizer()
    found = [set(raw(JudgedSplit.open(prepared.judge_dir, name).select(1 << 40), tokenizer)) for name in JUDGED]
    assert all(found) and sum(map(len, found)) == len(set.union(*found))


def test_an_unknown_split_is_refused(config: Make) -> None:
    prepared = prepare(config())
    for name in ("train", "../x", "tests"):
        with pytest.raises(RequestError, match="choices: validation, certification, test"):
            JudgedSplit.open(prepared.judge_dir, name)


def test_byte_counts_that_do_not_fit_the_ids_are_found(config: Make) -> None:
    """Even with a manifest that vouches for them: the denominator of every score hangs on these counts."""
    folder = prepare(config()).judge_dir
    with np.load(folder / "validation.npz") as stored:
        starts, sizes = stored["starts"], stored["bytes"]
    np.savez(folder / "validation.npz", starts=starts, bytes=sizes + 1)
    body = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").unlink()
    manifest_dir.seal(folder, {key: value for key, value in body.items() if key not in ("files", "seal")})
    with pytest.raises(WorkError, match="byte counts differ"):
        JudgedSplit.open(folder, "validation")
