"""What is the same recipe and what isn't."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.core import yaml_io
from foundry.core.errors import RequestError
from foundry.core.paths import get_path
from foundry.core.section import IDENTITY
from foundry.recipe import Recipe


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield from leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]


def with_value(recipe: Recipe, path: str, value: Any) -> dict[str, Any]:
    values = recipe.to_dict()
    parent, _, key = path.rpartition(".")
    (get_path(values, parent) if parent else values)[key] = value
    return values


def shuffled(tree: Any, draw: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {key: shuffled(tree[key], draw) for key in draw(st.permutations(sorted(tree)))}


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_the_order_of_keys_means_nothing(recipe: Recipe, data: st.DataObject) -> None:
    tree = shuffled(recipe.to_dict(), data.draw)
    for text in (yaml_io.updated("", tree), json.dumps(tree)):
        assert Recipe.from_dict(yaml_io.parse(text)).fingerprint == recipe.fingerprint


@pytest.mark.parametrize(
    ("written", "otherwise"),
    [("lr: 1e-3", f"lr: {spelling}") for spelling in ("0.001", "1.0e-3", "1E-03", ".001", "+0.1e-2")]
    + [("dropout: 0.0", f"dropout: {spelling}") for spelling in ("0", "-0.0", "0e5", "0.00")]
    + [
        ("ratio: 4.0", "ratio: 4"),
        ("layers: 4", "layers: 0x4"),
        ("layers: 4", "layers: 4e0"),
        ("tokens: 245760", "tokens: 2.4576e5"),
        ("tied: true", "tied: TRUE"),
    ]
    + [("betas: [0.9, 0.99]", "betas:\n      - 0.9\n      - 0.99"), ("kind: char", 'kind: "char"')]
    + [("  norm:\n    kind: layernorm\n    eps: 1e-5", "  norm: {eps: 1e-5, kind: layernorm}")]
    + [("  tokenizer:\n    kind: char", "  tokenizer: char"), ("    eps: 1e-8\n", ""), ("precision: fp32", "")]
    + [("name: baseline", "name: other"), ("name: baseline", ""), ("# sequences a step", "")],
)
def test_a_change_of_spelling_is_the_same_recipe(text: str, recipe: Recipe, written: str, otherwise: str) -> None:
    assert written in text
    assert Recipe.from_dict(yaml_io.parse(text.replace(written, otherwise))).fingerprint == recipe.fingerprint


OTHER = {  # where another valid value is not the double or the opposite
    "model.attention.kv_heads": 2,
    "model.norm.kind": "rmsnorm",
    "model.activation.kind": "relu2",
    "model.position.kind": "none",
    "model.values.kind": "residual",
    "model.residual.kind": "depth",
    "model.out_init": "zero",
    "data.source": "file:x.txt",
    "data.reading.field": "content",
    "data.reading.join": " ",
    "data.reading.line_ends": "unix",
    "data.reading.on_bad": "skip",
    "data.tokenizer.kind": "bytes",
    "train.loss.kind": "focal",
    "train.optimizer.betas": [0.9, 0.98],
    "train.schedule.kind": "linear",
    "train.precision": "bf16",
}
NEED_OTHER_FIELDS_TOO = ("model.attention.kind", "model.code", "model.head_init", "train.optimizer.kind")


def another(old: float) -> float:
    if isinstance(old, bool):
        return not old
    return (old * 2 or 1) if isinstance(old, int) else (old / 2 or 0.5)


def test_every_field_but_the_name_is_part_of_the_identity(recipe: Recipe) -> None:
    seen = {recipe.fingerprint}
    for path in leaves(recipe.to_dict()):
        if path in ("name", *NEED_OTHER_FIELDS_TOO):
            continue
        new = OTHER[path] if path in OTHER else another(get_path(recipe.to_dict(), path))
        found = Recipe.from_dict(with_value(recipe, path, new)).fingerprint
        assert found not in seen, path
        seen.add(found)
    assert Recipe.from_dict(with_value(recipe, "name", "x")).fingerprint == recipe.fingerprint


def test_a_saved_recipe_loads_as_itself(recipe: Recipe, text: str, tmp_path: Path) -> None:
    for like in ("", text):
        recipe.save(tmp_path / "r.yaml", like)
        assert Recipe.load(tmp_path / "r.yaml") == recipe
    assert set(text.splitlines()) <= set((tmp_path / "r.yaml").read_text().splitlines())


def test_the_source_of_a_workspace_part_is_part_of_the_identity(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(tmp_path))
    part = tmp_path / "modules" / "norm" / "mine.py"
    part.parent.mkdir(parents=True)
    source = '"""Mine."""\nfrom foundry.modules.norm import layernorm\n\nclass Config(layernorm.Config):\n    pass\n'
    fingerprints = []
    for text in (source, source + "# another text\n", source):
        part.write_text(text)
        fingerprints.append(Recipe.from_dict(with_value(recipe, "model.norm", "mine")).fingerprint)
    assert fingerprints[0] == fingerprints[2] != fingerprints[1]


def test_a_whole_file_model_is_part_of_the_identity_with_its_source(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(tmp_path))
    fingerprints = [recipe.fingerprint]
    for text in ("class Model: ...", "class Model: ... # other"):
        (tmp_path / "model.py").write_text(text)
        fingerprints.append(Recipe.from_dict(with_value(recipe, "model.code", "model")).fingerprint)
    assert len(set(fingerprints)) == 3


FAILS_TO_BUILD = """
from foundry.modules.norm import layernorm

class Config(layernorm.Config):
    def build(self, width):
        return {}[width]
"""


@pytest.mark.usefixtures("admitted")
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("x = 1", "no class Config"),
        (FAILS_TO_BUILD, "KeyError"),
    ],
)
def test_a_part_that_fails_is_an_error_of_one_line(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(tmp_path))
    part = tmp_path / "modules" / "norm" / "bad.py"
    part.parent.mkdir(parents=True)
    part.write_text(source)
    with pytest.raises(RequestError, match=reason):
        Recipe.from_dict(with_value(recipe, "model.norm", "bad"))


@pytest.mark.parametrize("kind", ["../norm/layernorm", "__init__", "", "x" * 300, "LayerNorm", "layernorm.py", "\0"])
def test_a_kind_is_the_name_of_a_file_in_its_slot_and_nothing_else(recipe: Recipe, kind: str) -> None:
    with pytest.raises(RequestError, match=r"\[recipe.unknown_kind\] model.norm: .*choices: .*layernorm"):
        Recipe.from_dict(with_value(recipe, "model.norm", kind))


def test_a_misspelt_key_is_answered_with_the_right_one(recipe: Recipe) -> None:
    values = copy.deepcopy(recipe.to_dict())
    values["train"]["batchsize"] = values["train"].pop("batch_size")
    with pytest.raises(RequestError, match=r"train\.batchsize: no key 'batchsize' .*did you mean 'batch_size'"):
        Recipe.from_dict(values)


def test_a_budget_that_buys_no_step_is_refused(recipe: Recipe) -> None:
    with pytest.raises(RequestError, match=r"budget\.tokens 767 is less than one step of 768"):
        Recipe.from_dict(with_value(recipe, "budget.tokens", 767))


def test_an_error_in_a_file_names_the_file(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml_io.updated("", with_value(recipe, "model.layers", "four")))
    with pytest.raises(RequestError, match=rf"model\.layers: .*'four' \[in {path}\]"):
        Recipe.load(path)


def test_the_shipped_baseline_is_a_recipe_with_every_field_written_out() -> None:
    path = Path(__file__).parents[2] / "experiments" / "baseline.yaml"
    assert yaml_io.load(path) == Recipe.load(path).to_dict()


def test_as_many_key_heads_as_heads_is_one_recipe_however_it_is_written(recipe: Recipe) -> None:
    written = Recipe.from_dict(with_value(recipe, "model.attention", {"kind": "gqa", "heads": 4, "kv_heads": 4}))
    left_out = Recipe.from_dict(with_value(recipe, "model.attention", {"kind": "gqa", "heads": 4}))
    fewer = Recipe.from_dict(with_value(recipe, "model.attention", {"kind": "gqa", "heads": 4, "kv_heads": 2}))
    assert written.fingerprint == left_out.fingerprint != fewer.fingerprint


def test_a_way_of_reading_is_identity_and_the_ordinary_way_adds_nothing(recipe: Recipe) -> None:
    values = recipe.to_dict()
    del values["data"]["reading"]
    assert Recipe.from_dict(values).fingerprint == recipe.fingerprint
    assert "reading" not in recipe.model_dump(context=IDENTITY)["data"]
    values["data"]["reading"] = {"field": "content"}
    assert Recipe.from_dict(values).fingerprint != recipe.fingerprint


def test_one_file_is_one_recipe_by_relative_absolute_and_home_path_and_by_a_link(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link.txt").symlink_to("a.txt")
    (tmp_path / "here").symlink_to(tmp_path)
    spellings = ["file:a.txt", "file:./a.txt", "file:b/../a.txt", f"file:{tmp_path}/a.txt", "file:~/a.txt",
        "file:link.txt", "file:here/a.txt"]  # fmt: skip
    same = {Recipe.from_dict(with_value(recipe, "data.source", spelled)).fingerprint for spelled in spellings}
    other = Recipe.from_dict(with_value(recipe, "data.source", "file:b.txt")).fingerprint
    assert len(same) == 1 and other not in same
    assert Recipe.from_dict(with_value(recipe, "data.source", "file:a.txt")).data.place == "file:a.txt"
