"""Every family and its variants, against one classical recipe: 4 layers, 4 heads, 128 wide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundry.core.errors import RequestError
from foundry.core.slot import PartConfig
from foundry.core.slots import SLOTS
from foundry.mutate import all_variants, catalogue, mutate
from foundry.mutate.families import FAMILIES, PARTS, PRESETS
from foundry.recipe import Recipe

NAMED = [f"{family.name}:{variant}" for family in FAMILIES.values() for variant in family.named()]


@pytest.mark.parametrize("text", NAMED)
def test_every_named_variant_fits_the_classical_recipe(recipe: Recipe, text: str) -> None:
    result, edits = mutate(recipe, text)
    assert result.name == text
    assert (result.fingerprint != recipe.fingerprint) == bool(edits)


def test_all_that_fit_are_listed_and_what_does_not_fit_is_not(recipe: Recipe) -> None:
    assert all_variants(recipe) == NAMED
    three_heads, _ = mutate(recipe, "width:96")
    assert set(NAMED) - set(all_variants(three_heads)) >= {"attention:gqa_2kv"}


def test_the_original_families_have_all_their_variants() -> None:
    original = {
        "attention": {"gqa_2kv", "gqa_1kv", "mha"},
        "norm": {"rmsnorm", "layernorm", "qknorm"},
        "activation": {"swiglu", "gelu", "glu"},
        "position": {"rope", "alibi"},
        "loss": {"cross_entropy", "focal", "label_smoothing"},
        "data": {"dedupe", "drop_short", "drop_long"},
    }
    listed = {entry["family"]: {variant["name"] for variant in entry["variants"]} for entry in catalogue()["families"]}
    for family, variants in original.items():
        assert variants <= listed[family]
    for family in ("depth", "width", "lr", "batch_size", "warmup", "grad_clip", "weight_decay", "adam_betas"):
        assert len(listed[family]) >= 4


def test_every_part_of_the_recipe_has_a_slot_in_the_table(recipe: Recipe) -> None:
    values = {"model": recipe.model, "train": recipe.train, "data": recipe.data}
    parts = {
        f"{room}.{name}" for room, section in values.items() for name, part in section if isinstance(part, PartConfig)
    }
    assert parts == {slot.at for slot in SLOTS}
    assert PRESETS.keys() <= {slot.name for slot in SLOTS}


def test_every_kind_of_a_slot_is_a_variant() -> None:
    for family in PARTS:
        assert set(family.slot.kinds()) - set(family.slot.unnamed) <= set(family.named())


def test_every_variant_has_an_explanation_of_one_line() -> None:
    for entry in catalogue()["families"]:
        assert entry["variants"] or entry["also"]
        for line in (entry["what"], *(variant["what"] for variant in entry["variants"])):
            assert line and line.isprintable() and len(line) < 160


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("attention:gqa_2kv", {"model.attention.kv_heads": 2}),
        ("attention:gqa_1kv", {"model.attention.kv_heads": 1}),
        ("attention:mha", {}),
        ("depth:6", {"model.layers": 6}),
        ("depth:x2", {"model.layers": 8}),
        ("width:192", {"model.width": 192, "model.attention.heads": 6, "model.attention.kv_heads": 6}),
        ("norm:layernorm", {}),
        ("activation:swiglu", {"model.activation": {"kind": "swiglu", "ratio": 4.0}}),
        ("position:rope", {"model.position": {"kind": "rope", "base": 10000.0}}),
        ("lr:1.5e-3", {"train.optimizer.lr": 0.0015}),
        ("lr:1e+0", {"train.optimizer.lr": 1.0}),
        ("lr:x3", {"train.optimizer.lr": 0.003}),
        ("lr:x0.5", {"train.optimizer.lr": 0.0005}),
        ("batch_size:16.0", {"train.batch_size": 16}),
        ("batch_size:x1.5", {"train.batch_size": 18}),
        ("warmup:0", {"train.schedule.warmup": 0.0}),
        ("grad_clip:0.5", {"train.grad_clip": 0.5}),
        ("weight_decay:0.01", {"train.optimizer.weight_decay": 0.01}),
        ("adam_betas:0.9,0.95", {"train.optimizer.betas": [0.9, 0.95]}),
        ("adam_betas: 0.95 , 0.97", {"train.optimizer.betas": [0.95, 0.97]}),
        ("data:dedupe", {"data.filter.dedupe": True}),
        ("data:min_bytes=300", {"data.filter.min_bytes": 300}),
        ("ema:0.99", {"train.ema": 0.99}),
        ("dropout:0.1", {"model.dropout": 0.1}),
        ("head:untied", {"model.tied": False}),
        ("head:untied_zero", {"model.tied": False, "model.head_init": "zero"}),
        ("init:zero", {"model.out_init": "zero"}),
        ("softcap:15", {"model.softcap": 15.0}),
        ("optimizer:muon", {"train.optimizer": {"kind": "muon", "lr": 0.02, "adam_lr": 0.001}}),
        ("optimizer:lion", {"train.optimizer": {"kind": "lion", "lr": 0.0002}}),
        ("tokenizer:bytes", {"data.tokenizer": {"kind": "bytes"}}),
        ("set:train.precision=bf16", {"train.precision": "bf16"}),
        ("set:train.optimizer.betas=[0.8, 0.9]", {"train.optimizer.betas": [0.8, 0.9]}),
        ("set:model.attention={kind: gqa, heads: 4, kv_heads: 1}", {"model.attention": {"kv_heads": 1}}),
        ("set:train.loss.kind=focal", {"train.loss": {"kind": "focal", "gamma": 2.0}}),
        ("set:train.loss=focal", {"train.loss": {"kind": "focal", "gamma": 2.0}}),
        ("set:name=another name", {}),
    ],
)
def test_a_variant_changes_what_its_name_says_and_nothing_else(
    recipe: Recipe, text: str, changes: dict[str, Any]
) -> None:
    _, edits = mutate(recipe, text)
    assert [edit.path for edit in edits] == list(changes)
    for edit in edits:
        wanted = changes[edit.path]
        found = edit.new if not isinstance(wanted, dict) else {key: edit.new[key] for key in wanted}
        assert found == wanted and type(found) is type(wanted)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("attention:gqa_3kv", "no 'gqa_3kv' .*did you mean 'gqa_"),
        ("atention:mha", "no family 'atention' .*did you mean 'attention'"),
        ("attention", "which variant.*gqa_2kv"),
        ("", "no family"),
        ("lr:fast", "no 'fast'.*any number"),
        ("lr:true", "no 'true'"),
        ("lr:[1]", "no "),
        ("lr:.nan", "not a finite number"),
        ("lr:x1e999", "not a finite number"),
        ("lr:-1", r"train\.optimizer\.lr: .*greater than 0.*in mutation lr:-1"),
        ("batch_size:x1.05", "12.6 is not a whole number"),
        ("batch_size:0", r"train\.batch_size"),
        ("width:100", r"model\.attention\.heads can't grow in proportion"),
        ("adam_betas:0.9", "any two numbers"),
        ("adam_betas:0.9,0.95,0.99", "any two numbers"),
        ("data:min_bytes=many", "no 'many'"),
        ("data:words", "data:min_bytes=NUMBER"),
        ("set:train.ema", "no 'path=value'"),
        ("set:train.emma=0.9", r"train\.emma: no field 'emma'.*did you mean 'ema'"),
        ("set:train.optimizer.gamma=1", r"no field 'gamma' of train\.optimizer \(adamw\)"),
        ("set:train.ema=[", r"yaml\.syntax\] train\.ema"),
        ("set:train.ema=*x", r"yaml\.alias\] train\.ema"),
        ("set:model.layers=", r"model\.layers: .*got None"),
        ("set:model.layers=4.5", r"model\.layers"),
        ("set:model.attention.kv_heads=3", "3 key/value heads don't divide 4 heads"),
        ("set:budget.tokens=1", "less than one step"),
    ],
)
def test_what_cant_be_is_refused_in_a_line_that_helps(recipe: Recipe, text: str, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        mutate(recipe, text)


def test_gqa_2kv_refuses_a_head_count_that_2_does_not_divide(recipe: Recipe) -> None:
    three_heads, _ = mutate(recipe, "width:96")
    assert three_heads.model.attention.heads == 3
    with pytest.raises(RequestError, match=r"2 key/value heads don't divide 3 heads \[in mutation attention:gqa_2kv\]"):
        mutate(three_heads, "attention:gqa_2kv")


def test_width_keeps_the_channels_of_a_head_and_the_share_of_key_value_heads(recipe: Recipe) -> None:
    grouped, _ = mutate(recipe, "attention:gqa_2kv")
    wide, _ = mutate(grouped, "width:256")
    assert wide.model.attention.model_dump() == {"kind": "gqa", "heads": 8, "kv_heads": 4}
    assert wide.model.attention.head_dim(256) == recipe.model.attention.head_dim(128)
    with pytest.raises(RequestError, match="kv_heads can't grow in proportion: 2 × 160 / 128"):
        mutate(grouped, "width:160")


def part(workspace: Path, slot: str, kind: str, source: str) -> None:
    path = workspace / "modules" / slot / f"{kind}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'"""A part of the tests. May not: be used."""\n{source}')


FAST = """
from foundry.modules.optimizer import adamw

class Config(adamw.Config):
    lr: float = 0.02
    weight_decay: float = 0.1
"""


def test_a_field_that_both_kinds_have_is_kept_unless_the_new_kind_has_its_own_scale(
    recipe: Recipe, workspace: Path
) -> None:
    part(workspace, "optimizer", "fast", FAST)
    tuned, _ = mutate(recipe, "weight_decay:0.3+adam_betas:0.9,0.97")
    fast, _ = mutate(tuned, "optimizer:fast")
    kept = {"betas": [0.9, 0.97], "weight_decay": 0.3}
    assert fast.to_dict()["train"]["optimizer"] == {"kind": "fast", "lr": 0.02, "eps": 1e-8, **kept}


def test_optimizers_lead_to_each_other_with_rates_that_stand_for_the_same(recipe: Recipe) -> None:
    for through in ("lion", "muon"):
        there, _ = mutate(recipe, f"optimizer:{through}")
        back, _ = mutate(there, "optimizer:adamw")
        assert back.train.optimizer.lr == recipe.train.optimizer.lr
    muon, _ = mutate(recipe, "optimizer:muon")
    changed, _ = mutate(muon, "adam_betas:0.8,0.9")
    assert changed.to_dict()["train"]["optimizer"]["adam_betas"] == [0.8, 0.9]


def test_a_file_in_the_workspace_is_a_variant_at_once(recipe: Recipe, workspace: Path) -> None:
    part(workspace, "attention", "mine", "from foundry.modules.attention import gqa\nclass Config(gqa.Config): pass\n")
    listed = {variant["name"]: variant["says"] for variant in catalogue()["families"][0]["variants"]}
    assert listed["mine"] == "A part of the tests."
    assert "attention:mine" in all_variants(recipe)
    mine, _ = mutate(recipe, "attention:mine")
    assert mine.to_dict()["model"]["attention"] == {"kind": "mine", "heads": 4, "kv_heads": 4}


def test_a_broken_file_in_the_workspace_is_listed_as_broken_and_hinders_nothing(
    recipe: Recipe, workspace: Path
) -> None:
    part(workspace, "attention", "broken", "def")
    listed = {variant["name"]: variant["says"] for variant in catalogue()["families"][0]["variants"]}
    assert "can't be read" in listed["broken"]
    assert all_variants(recipe) == NAMED
    with pytest.raises(RequestError, match=r"code.syntax.*SyntaxError"):
        mutate(recipe, "attention:broken")
