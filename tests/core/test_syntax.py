"""An agent's file, read as text: whatever it holds, what comes of it is a tree of bounded depth or one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.contract import broken
from foundry.core import code
from foundry.core.errors import RequestError
from foundry.core.slots import SLOTS
from foundry.mutate import mutate
from foundry.recipe import Recipe

BEGIN = '"""Deep. May not: matter."""\nclass Config'
DEEP = {
    "bases": f"{BEGIN}({'.'.join(['a'] * 600)}): ...",
    "many_bases": f"{BEGIN}({'.'.join(['a'] * 30000)}): ...",
    "signs": f"{BEGIN}:\n    x: int = {'-' * 400}1",
    "sums": f"{BEGIN}:\n    x: int = {'+'.join(['1'] * 500)}",
    "calls": f"{BEGIN}:\n    x: {'f' + '()' * 300} = 1",
    "brackets": f"{BEGIN}:\n    x: int = {'(' * 500}1{')' * 500}",
    "branches": "if 1: ...\n" + "elif 1: ...\n" * 300 + BEGIN[25:] + ": ...",
    "nul": f"{BEGIN}: ...\0",
    "large": f"{BEGIN}: ...\n" + "#" * code.MAX_BYTES,
}
"""Kind → its file."""
[ACTIVATION] = [slot for slot in SLOTS if slot.name == "activation"]


@pytest.fixture
def parts(home: Path) -> list[str]:
    folder = home / "workspace/modules/activation"
    folder.mkdir(parents=True)
    for kind, text in DEEP.items():
        (folder / f"{kind}.py").write_text(text)
    return list(DEEP)


def test_a_file_that_is_too_deep_or_unreadable_ends_its_candidate_with_one_line(parts: list[str], home: Path) -> None:
    baseline = Recipe.load(home / "experiments/baseline.yaml")
    for kind in parts:
        with pytest.raises(RequestError) as caught:
            mutate(baseline, f"activation:{kind}")
        assert caught.value.code in ("code.too_deep", "code.syntax", "code.too_large"), kind
        assert "\n" not in str(caught.value)


def test_the_list_of_kinds_is_shown_whatever_one_of_them_holds(parts: list[str]) -> None:
    said = {kind: ACTIVATION.describe(kind) for kind in ACTIVATION.kinds()}
    assert {kind for kind, line in said.items() if line.startswith("(can't be read")} == set(parts)


def test_the_contract_says_what_is_wrong_with_such_a_file(parts: list[str]) -> None:
    for kind in parts:
        first = next(iter(broken(ACTIVATION, kind)))
        assert first.clause == "check_file_explains_itself", kind


def test_a_chain_as_long_as_people_write_is_read(home: Path) -> None:
    file = home / "part.py"
    file.write_text(f"{BEGIN}:\n    x: int = {' + '.join(['1'] * 60)}\n")
    assert code.parsed(file, "Config").body
