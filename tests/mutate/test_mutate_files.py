"""The files that mutations are written to."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from foundry.core import yaml_io
from foundry.core.errors import RequestError
from foundry.mutate import all_variants, file_name, mutate, parse, write
from foundry.mutate.families import FAMILIES
from foundry.recipe import Recipe

CLASSICAL = Path(__file__).parents[1] / "recipe" / "classical.yaml"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("attention:gqa_2kv", "attn_gqa_2kv.yaml"),
        ("activation:swiglu", "act_swiglu.yaml"),
        ("position:rope", "pos_rope.yaml"),
        ("loss:focal", "loss_focal.yaml"),
        ("lr:6e-4", "lr_6e-4.yaml"),
        ("adam_betas:0.9,0.95", "betas_0.9,0.95.yaml"),
        ("norm:layernorm+attention:gqa_2kv", "attn_gqa_2kv+norm_layernorm.yaml"),
        ("set:train.ema=0.9", "set_train.ema=0.9.yaml"),
    ],
)
def test_a_file_is_named_after_its_mutation(text: str, name: str) -> None:
    assert file_name(parse(text)) == name


def test_no_two_mutations_share_a_file(recipe: Recipe) -> None:
    named = all_variants(recipe)
    pairs = [f"{a}+{b}" for a, b in itertools.combinations(named[::4], 2)]
    odd = [
        f"set:name={value}"
        for value in ("a b", "a-b", "a/b", "a+b", "A-b", "a:b", "é", "ü", "..", "/", "\\", "\x00", "x" * 500)
    ]
    odd += [
        f"set:name={'x' * 500}y",
        "set:name=a-b-0123456789",
        "lr:1e-3",
        "lr:1E-3",
        "lr:1e+3",
        "lr:1e3",
        "set:name=%2e",
    ]
    hashed = file_name(parse("set:name=a b")).removeprefix("set_").removesuffix(".yaml")
    texts = {str(parse(text)) for text in [*named, *pairs, *odd, f"set:{hashed}"]}
    names = {file_name(parse(text)).lower() for text in texts}  # some file systems ignore case
    assert len(names) == len(texts)
    for name in names:
        assert re.fullmatch(r"[a-z]+_[a-z0-9._,=+-]+\.yaml", name) and len(name) <= 130


def test_short_names_are_distinct_and_leave_the_underscore_to_the_variant() -> None:
    shorts = [family.short for family in FAMILIES.values()]
    assert len(set(shorts)) == len(shorts) and not any("_" in short for short in shorts)


def test_a_written_file_is_the_mutated_recipe_with_the_comments_of_its_origin(recipe: Recipe, tmp_path: Path) -> None:
    written = write(CLASSICAL, "attention:gqa_2kv+position:rope", tmp_path)
    assert written.file == tmp_path / "attn_gqa_2kv+pos_rope.yaml"
    expected, edits = mutate(recipe, "attention:gqa_2kv+position:rope")
    loaded = Recipe.load(written.file)
    assert loaded == written.recipe == expected and written.edits == edits
    text = written.file.read_text()
    assert f"# attention:gqa_2kv+position:rope of classical.yaml, recipe {recipe.fingerprint}\n" in text
    assert "# model.attention.kv_heads: 4 → 2\n" in text
    comments = re.findall(r"#.*", CLASSICAL.read_text())
    assert len(comments) > 20 and all(comment in text for comment in comments)
    assert written.document["edits"][0] == {"path": "model.attention.kv_heads", "old": 4, "new": 2}


def test_a_mutation_of_nothing_says_so(tmp_path: Path) -> None:
    assert "# no change\n" in write(CLASSICAL, "norm:layernorm", tmp_path).file.read_text()


def test_a_mutation_of_a_written_file_has_one_header(tmp_path: Path) -> None:
    first = write(CLASSICAL, "norm:rmsnorm", tmp_path).file
    second = write(first, "lr:x2", tmp_path).file.read_text()
    assert second.count("Written by") == 1 and "norm:rmsnorm of" not in second and "kind: rmsnorm" in second


def test_a_file_edited_by_hand_is_not_overwritten_without_force(tmp_path: Path) -> None:
    path = write(CLASSICAL, "norm:rmsnorm", tmp_path).file
    for edit in (("layers: 4", "layers: 3"), ("# sequences a step", "# mine"), ("# Written by", "# Made by")):
        path.write_text(path.read_text().replace(*edit))
        before = path.read_text()
        with pytest.raises(RequestError, match=r"mutate.edited_file.*--force"):
            write(CLASSICAL, "norm:rmsnorm", tmp_path)
        assert path.read_text() == before
        write(CLASSICAL, "norm:rmsnorm", tmp_path, force=True)
        assert Recipe.load(path).model.layers == 4


def test_a_file_that_nobody_edited_follows_its_origin(tmp_path: Path) -> None:
    origin = tmp_path / "classical.yaml"
    origin.write_text(CLASSICAL.read_text())
    path = write(origin, "norm:rmsnorm", tmp_path).file
    origin.write_text(CLASSICAL.read_text().replace("layers: 4", "layers: 2"))
    assert write(origin, "norm:rmsnorm", tmp_path).file == path
    assert Recipe.load(path).model.layers == 2


def test_a_refused_mutation_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        write(CLASSICAL, "width:100", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_listing_and_naming_import_no_torch() -> None:
    names = "m.catalogue(); m.file_name(m.parse('lr:x2'))"
    code = f"import sys, foundry.mutate as m; {names}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_written_file_can_be_read_by_the_plain_parser(tmp_path: Path) -> None:
    assert yaml_io.load(write(CLASSICAL, "lr:x2", tmp_path).file)["train"]["optimizer"]["lr"] == 0.002
