"""What a source can know is counted, however it is spelt; what ships and the honest corpus stay far below."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from random import Random

import pytest

import foundry.modules
from benchmarks.cheats.catalogue import workspace
from foundry.judge.knowledge import LITERAL_BYTES, SAID_BYTES, WHOLE_BYTES, carried, knowledge_guard

KNOWN = Random(7).randbytes(6000)
NUMBERS = list(KNOWN)
WORDS = [f"w{a:02x}{b:02x}" for a, b in zip(KNOWN[::2], KNOWN[1::2], strict=True)]
SPELT = {
    "a string": f"W = {base64.b85encode(KNOWN).decode()!r}",
    "bytes": f"W = {KNOWN!r}",
    "numbers": f"W = {NUMBERS}",
    "floats": f"W = {[n / 251 for n in NUMBERS]}",
    "keys": f"W = {dict.fromkeys(WORDS, 0)}",
    "an f-string": f"W = f'{{1}}{base64.b32encode(KNOWN).decode()}'",
    "a docstring": f'"""{base64.b85encode(KNOWN).decode()}"""'.replace("\\", ""),
    "comments": "\n".join(f"# {base64.b64encode(KNOWN[i : i + 60]).decode()}" for i in range(0, 6000, 60)),
    "names": "\n".join(f"{word} = 0" for word in WORDS),
    "attributes": "class W:\n" + "\n".join(f"    {word}: int" for word in WORDS),
    "operators": "W = " + " + ".join("-" * (n % 4) + "~" * (n // 4 % 4) + "x" for n in NUMBERS),
    "nested brackets": "W = [" + ",".join("[" * (n % 5) + "]" * (n % 5) if n % 5 else "()" for n in NUMBERS) + "]",
    "signs": "W = " + ",".join("-+~"[n % 3] + "+-~"[n // 3 % 3] + "-~+"[n // 9 % 3] + "1" for n in NUMBERS),
    "blanks": "\n".join(" " * (n % 16) + "#" for n in NUMBERS * 2),
    "what can't be parsed": "(" + base64.b85encode(KNOWN).decode(),
}
"""Six kilobytes of knowledge each, where so many fit."""


@pytest.mark.parametrize("spelling", SPELT)
def test_knowledge_is_counted_however_it_is_spelt(spelling: str) -> None:
    assert not knowledge_guard(carried([SPELT[spelling]])).passed


def test_knowledge_in_the_recipes_values_or_spread_over_parts_counts_too() -> None:
    small = [f"W = {base64.b85encode(KNOWN[i : i + 500]).decode()!r}" for i in range(0, 3000, 500)]
    assert knowledge_guard(carried(small[:1])).passed and not knowledge_guard(carried(small)).passed
    before = json.dumps({"model": {"width": 16}})
    after = json.dumps({"model": {"width": 16, "table": base64.b85encode(KNOWN).decode()}})
    assert not knowledge_guard(carried([], after, before)).passed
    assert knowledge_guard(carried([], before.replace("16", "32"), before)).passed


def test_what_ships_and_the_honest_corpus_carry_no_more_than_they_may() -> None:
    root = Path(foundry.modules.__file__).parent
    honest = [*root.rglob("*.py"), *workspace("zoo").rglob("*.py")]
    sizes = [carried([path.read_text()]) for path in honest]
    assert len(sizes) > 60
    assert max(size.literal_bytes for size in sizes) < LITERAL_BYTES
    assert max(size.said_bytes for size in sizes) < SAID_BYTES
    assert max(size.whole_bytes for size in sizes) < WHOLE_BYTES
