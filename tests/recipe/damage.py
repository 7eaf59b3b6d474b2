"""Seeded damage to a recipe: its text, one field's text, or its tree. What a test does with it is the test's."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator
from typing import Any

CHARACTERS = list(" \n\t:-[]{},#&*!|>%@`\"'?0123456789.eE+-_~<\x00\x07\x7f\x85\u2028\ufeff\ud800é😀abckz")

JUNK_SCALARS = [
    *(".nan", "-.inf", "1e999", "9" * 50, "9" * 5000, "-1", "-0.0", "1e400", "1.0.0", "0x", "0o7", "1_000", "4.5"),
    *("*a", "&a 1", "!!int 3", "!x y", "!", "&", "<<", "{<<: 1}", "{a: 1, a: 2}", "{? [1] : 2}", "[1, *b]"),
    *("[", "{", "}", "]", "{a: {b: 1", "[" * 14 + "1" + "]" * 14, "- 1", "? x", "@a", "`", "%", "\t1", "a: b", ", 1"),
    *(
        "é",
        "\u2028",
        "\x00",
        "\x07",
        '"\\ud800"',
        '"\\x00"',
        "\ufffe",
        "x" * 3000,
        "../../secret",
        "12:30",
        "2001-01-01",
    ),
    *("yes", "null", "~", "{}", "[]", "[0.9, .nan]", "[[0.9, 0.99]]", "--- 1", "...", "1 2", "True story"),
]

JUNK_VALUES: list[Any] = [
    *(None, True, -1, 0, 2**31, 2**63 - 1, 10**400, 10**5000, 1e308, -1e308, 1e-320, -0.0, 0.5, 65536, 1_000_000),
    *(float("nan"), float("inf"), float("-inf"), b"x", (1, 2), object(), {1}, {1: 2}, "1e-3", "", "x" * 5000),
    *(
        "\ud800",
        "\x00",
        "\x1b[31m",
        "a\nb",
        "４",
        [],
        [1],
        [0.9],
        [0.9, 0.99, 0.999],
        [0.9, float("nan")],
        ["0.9", "0.99"],
    ),
    *({}, {"kind": None}, {"kind": 5}, {"kind": "x" * 300}, {"kind": "../gqa"}, {"kind": "__init__"}, {"a": {"b": {}}}),
]

KEY_LINE = re.compile(r"( *)(\w+):")


def fields(text: str) -> dict[int, str]:
    """Line number → dotted path, of every line of `text` that has a key."""
    open_keys: list[tuple[int, str]] = []
    found = {}
    for number, line in enumerate(text.split("\n")):
        if match := KEY_LINE.match(line):
            open_keys = [pair for pair in open_keys if pair[0] < len(match[1])] + [(len(match[1]), match[2])]
            found[number] = ".".join(key for _, key in open_keys)
    return found


def damaged_texts(text: str, count: int, seed: int) -> Iterator[str]:
    """`text` with characters changed, put in, taken out or doubled, or its end cut off."""
    rng = random.Random(seed)
    for _ in range(count):
        characters = list(text)
        for _ in range(rng.choice([1, 1, 2, 4, 16])):
            at = rng.randrange(len(characters))
            match rng.choice("cccciiddr."):
                case "c":
                    characters[at] = rng.choice(CHARACTERS)
                case "i":
                    characters.insert(at, rng.choice(CHARACTERS))
                case "d":
                    del characters[at : at + rng.randrange(1, 60)]
                case "r":
                    characters[at:at] = characters[max(0, at - 30) : at]
                case _:
                    characters = characters[: at + 1]
            if not characters:
                break
        yield "".join(characters)


def damaged_fields(text: str, count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """(path, junk, text with that field's value replaced by the junk)."""
    rng, paths, lines = random.Random(seed), fields(text), text.split("\n")
    for _ in range(count):
        number, junk = rng.choice(list(paths)), rng.choice(JUNK_SCALARS)
        key = KEY_LINE.match(lines[number])
        assert key is not None
        yield paths[number], junk, "\n".join([*lines[:number], f"{key[0]} {junk}", *lines[number + 1 :]])


def damaged_trees(tree: dict[str, Any], count: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, plain recipe in which that field is missing, misspelt or has a value that no recipe has)."""
    rng = random.Random(seed)
    paths = list(_paths(tree))
    for _ in range(count):
        path, damaged = rng.choice(paths), copy.deepcopy(tree)
        holder = damaged
        for key in path[:-1]:
            holder = holder[key]
        match rng.choice("dmvvvv"):
            case "d":
                del holder[path[-1]]
            case "m":
                holder[path[-1] + rng.choice(["s", "_", " ", "\n", "\x1b[31m"])] = holder.pop(path[-1])
            case _:
                holder[path[-1]] = rng.choice(JUNK_VALUES)
        yield ".".join(path), damaged


def _paths(tree: dict[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from _paths(value, (*prefix, key))
