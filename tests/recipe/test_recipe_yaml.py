"""YAML 1.2 in, and out again with the person's own writing kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.core import yaml_io
from foundry.core.errors import RequestError
from foundry.core.paths import get_path

COMMENTED = """\
# top

name: old  # label
model:
  layers: 4   # deep
  # how tokens meet
  attention:
    kind: gqa   # grouped
    heads: 4
    kv_heads: 4   # all of them

  # in scale
  norm: {kind: layernorm}  # plain
  rates:
    - 1e-3
    - 2e-3
  nothing:   # yet
# the data
data:
  source: 'file: x'
"""

KEYS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["yes", "1e-3", "0x1", "null", "- a", "a: b", "#", "a # b", "[", "&a", "1_0", "~", "<<", ".inf"])
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
TREES = st.dictionaries(KEYS, VALUES, max_size=5)


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_what_is_written_is_read_back(tree: dict[str, Any]) -> None:
    assert yaml_io.parse(yaml_io.updated("", tree) or "{}") == tree


@settings(max_examples=60, deadline=None)
@given(TREES, TREES)
def test_an_update_gives_exactly_the_new_values(old: dict[str, Any], new: dict[str, Any]) -> None:
    text = yaml_io.updated("", old) or "{}"
    assert yaml_io.parse(yaml_io.updated(text, new) or "{}") == new


FIELDS = ("name", "model.layers", "model.attention.kind", "model.attention.kv_heads", "model.norm", "model.rates")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*FIELDS, "model.nothing", "data.source"]), SCALARS | st.dictionaries(KEYS, SCALARS, max_size=3))
def test_an_update_of_any_field_keeps_every_comment_around_it(path: str, value: Any) -> None:
    values = yaml_io.parse(COMMENTED)
    section, _, key = path.rpartition(".")
    (get_path(values, section) if section else values)[key] = value
    lines = yaml_io.updated(COMMENTED, values).split("\n")
    assert {"# top", "  # how tokens meet", "  # in scale", "# the data"} <= set(lines)


def test_only_what_differs_is_touched() -> None:
    values = yaml_io.parse(COMMENTED)
    values["model"]["layers"] = 6
    values["model"]["norm"] = {"kind": "rmsnorm", "eps": 1e-6}
    values["model"]["nothing"] = 0.5
    changed = COMMENTED.replace("layers: 4", "layers: 6").replace("nothing:   #", "nothing: 0.5   #")
    assert yaml_io.updated(COMMENTED, values) == changed.replace("{kind: layernorm}", "{kind: rmsnorm, eps: 1e-06}")
    assert yaml_io.updated(COMMENTED, yaml_io.parse(COMMENTED)) == COMMENTED


def test_another_kind_takes_only_its_own_lines() -> None:
    values = yaml_io.parse(COMMENTED)
    values["model"]["attention"] = {"kind": "mla", "heads": 4, "latent": 16}
    changed = COMMENTED.replace("kind: gqa", "kind: mla").replace("kv_heads: 4   # all of them", "latent: 16")
    assert yaml_io.updated(COMMENTED, values) == changed


def test_a_list_over_lines_is_replaced_on_one() -> None:
    values = yaml_io.parse(COMMENTED)
    values["model"]["rates"] = [0.5]
    assert "  rates: [0.5]\n  nothing:   # yet\n" in yaml_io.updated(COMMENTED, values)


@pytest.mark.parametrize(
    "text", ["? a\n: 1\n", "a: |\n  x\nb: 1\n", "a: 'x\n  y'\n", "{a: 1, b: {c: 2}}", "a: 1", "\ufeffa: 1\n"]
)
def test_any_way_of_writing_can_be_updated(text: str) -> None:
    assert yaml_io.parse(yaml_io.updated(text, {"a": 2.5, "z": {"y": "x: y"}})) == {"a": 2.5, "z": {"y": "x: y"}}


SPELLINGS: list[tuple[str, Any]] = [
    *(("6e-4", 6e-4), ("1e+3", 1000.0), (".5", 0.5), ("1.", 1.0), ("[1, 2.0]", [1, 2.0])),
    *(("010", 10), ("0x1F", 31), ("0o17", 15), ("-0", 0), ("True", True), ("~", None), ("", None)),
    *(("yes", "yes"), ("on", "on"), ("1_000", "1_000"), ("12:30", "12:30"), ("2001-01-01", "2001-01-01")),
    *(("=", "="), ("'1'", "1"), ('"\\e"', "\x1b"), ("don't", "don't")),
]


@pytest.mark.parametrize(("scalar", "value"), SPELLINGS)
def test_scalars_are_those_of_yaml_1_2(scalar: str, value: Any) -> None:
    read = yaml_io.parse_value(scalar, "value")
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("a: {b: *x}", "yaml.alias", "a.b"),
        ("a: &x 1", "yaml.alias", "a"),
        ("a: !!int 1", "yaml.tag", "a"),
        ("a: ! 1", "yaml.tag", "a"),
        ("a:\n  b: 1\n  b: 2", "yaml.duplicate_key", "a.b"),
        ("a: {<<: {b: 1}}", "yaml.merge", "a"),
        ("a: [1, .inf]", "yaml.not_finite", "a.1"),
        ("a: 1e999", "yaml.not_finite", "a"),
        ("a: 9223372036854775808", "yaml.too_large_number", "a"),
        ("a: {1: 2}", "yaml.bad_key", "a"),
        ("a: {~: 2}", "yaml.bad_key", "a"),
        ("a: " + "[" * 20, "yaml.too_deep", "a"),
        ("a: 1\n---\nb: 2", "yaml.documents", "f"),
        ("%YAML 1.1\n---\na: yes", "yaml.directive", "f:1"),
        ("a:\n  b: [1", "yaml.syntax", "a.b"),
        ("a: 'x", "yaml.syntax", "a"),
        ("- a", "yaml.not_a_mapping", "f"),
        ("", "yaml.not_a_mapping", "f"),
        ("a: 1\n" * 60_000, "yaml.too_large", "f"),
    ],
)
def test_what_hides_or_misleads_is_refused_by_name(text: str, code: str, place: str) -> None:
    with pytest.raises(RequestError) as caught:
        yaml_io.parse(text, "f")
    assert caught.value.code == code
    assert caught.value.path == place or (code == "yaml.too_deep" and caught.value.path.startswith("a."))


@pytest.mark.parametrize("text", ["1\nb: 2", "[1", "*a", "}", "a: b", "1\u2028b: 2"])
def test_a_value_is_one_value(text: str) -> None:
    with pytest.raises(RequestError, match=r"^\[yaml\.\w+\] here: "):
        yaml_io.parse_value(text, "here")


def test_a_file_that_cant_be_read_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "baseline.yaml").write_text("a: 1")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge.yaml").write_text("#" * 300_000)
    for name, message in {
        "baselin.yaml": "did you mean 'baseline.yaml'",
        "latin.yaml": "not UTF-8 at byte 3",
        "huge.yaml": "at most",
        ".": "a folder, where a file is needed; .* has baseline.yaml, huge.yaml, latin.yaml",
        "pipe": "no ordinary file",
        "a\0b": "no such file",
    }.items():
        with pytest.raises(RequestError, match=message):
            yaml_io.load(tmp_path / name)
