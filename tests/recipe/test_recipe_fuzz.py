"""2,000 malformed recipes: never a traceback, always one line, and the line names the field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from damage import JUNK_VALUES, damaged_fields, damaged_texts, damaged_trees

from foundry.core import yaml_io
from foundry.core.errors import FoundryError, RequestError
from foundry.recipe import Recipe

Load = Callable[[Any], object]


def from_text(text: str) -> Recipe:
    return Recipe.from_dict(yaml_io.parse(text, "damaged.yaml"))


def complaint(load: Load, value: Any) -> str | None:
    """What `load` says about `value`, None if it takes it. Any other exception than ours goes through."""
    try:
        load(value)
    except RequestError as error:
        line = str(error)
        assert line.isprintable() and len(line) < 3000, f"not a line for a terminal: {line!r:.300}"
        json.dumps(error.plain(), allow_nan=False)
        return line
    return None


def names(line: str, path: str) -> bool:
    """Whether the line names the field: its path, or for sizes that don't fit together, its own name."""
    parent, _, key = path.rpartition(".")
    return path in line or f"{key} " in line or (key == "kind" and parent in line)


def test_damaged_text_never_ends_in_a_traceback(text: str) -> None:
    lines = [complaint(from_text, damaged) for damaged in damaged_texts(text, 900, seed=1)]
    assert sum(line is not None for line in lines) > 450  # the damage is real


def test_junk_in_a_field_is_refused_in_a_line_that_names_it(text: str) -> None:
    refused = 0
    for path, junk, damaged in damaged_fields(text, 600, seed=2):
        line = complaint(from_text, damaged)
        refused += line is not None
        assert line is None or names(line, path), f"{path}: {junk!r:.40} → {line}"
    assert refused > 500


def test_a_damaged_tree_is_refused_in_a_line_that_names_the_field(recipe: Recipe) -> None:
    refused = 0
    for path, damaged in damaged_trees(recipe.to_dict(), 500, seed=3):
        line = complaint(Recipe.from_dict, damaged)
        refused += line is not None
        assert line is None or names(line, path), f"{path}: {line}"
    assert refused > 350


@pytest.mark.parametrize("junk", JUNK_VALUES, ids=lambda junk: type(junk).__name__)
def test_what_is_no_mapping_of_sections_is_no_recipe(junk: Any) -> None:
    assert complaint(Recipe.from_dict, junk) is not None


def test_the_harness_catches_a_loader_that_lets_exceptions_through(recipe: Recipe) -> None:
    """The negative control: pydantic alone, without our explanations, fails this file's promise."""
    with pytest.raises(Exception, match="validation error") as caught:
        for _, damaged in damaged_trees(recipe.to_dict(), 50, seed=3):
            complaint(Recipe.model_validate, damaged)
    assert not isinstance(caught.value, FoundryError)


def hostile() -> Iterator[str]:
    """Short to write, near the size limit, made to cost time, memory or stack."""
    size = 250_000
    yield from ("a: " + "[" * size, "a: " + "{" * size, "- " * (size // 2), "? " * (size // 2), "a: &" + "x" * size)
    yield from ("a: '" + "x" * size, "a: " + "9" * size, "#" * size, ":" * size, "\x00" * size, "%" + "x" * size)
    yield from (
        "".join(" " * i + "a:\n" for i in range(600)),
        "a: |\n" + " x\n" * 20_000,
        "".join(f"k{i}: 1\n" for i in range(9000)),
    )
    yield "a: &a [1]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]"


@pytest.mark.parametrize("text", list(hostile()), ids=lambda text: repr(text[:12]))
def test_hostile_text_is_refused(text: str) -> None:
    assert complaint(from_text, text) is not None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("width", 65536),
        ("width", 2**62),
        ("context", 1_048_576),
        ("layers", 512),
        ("attention", {"kind": "gqa", "heads": 4096}),
        ("attention", {"kind": "gqa", "heads": 1_000_000}),
        ("attention", {"kind": "gqa", "heads": 10**30}),
        ("activation", {"kind": "gelu", "ratio": 16.0}),
        ("activation", {"kind": "gelu", "ratio": 1e300}),
    ],
)
def test_absurd_sizes_cost_no_memory(recipe: Recipe, path: str, value: Any) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    values = recipe.to_dict()
    values["model"][path] = value
    complaint(Recipe.from_dict, values)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB on Linux
