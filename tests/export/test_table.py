"""Every class of the table computes what our model computes; whatever no class computes goes in our own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundry.core.errors import RequestError
from foundry.data.tokenizer import Tokenizer
from foundry.export import folder
from foundry.export.loaded import answers
from foundry.export.targets import TARGETS
from foundry.export.verify import LIMITS, TEXT, questions
from foundry.export.weights import named_back
from foundry.model import GPT, ModelConfig
from tests.export.models import GROUPED, config, tokenizers, weights

torch.set_num_threads(1)
WINDOWED = {**GROUPED, "kind": "sliding", "window": 5, "full_every": 2}
ROPE = {"position": "rope"}
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("gpt2", {"tied": True}),
    ("gpt2", {"activation": "relu2", "residual": "layerscale"}),
    ("llama", {**ROPE, "attention": GROUPED, "norm": "rmsnorm", "activation": "swiglu"}),
    ("llama", {**ROPE, "norm": {"kind": "rmsnorm", "gain": False}, "activation": "glu", "tied": True}),
    ("llama", {**ROPE, "attention": {**WINDOWED, "window": 24}, "norm": "rmsnorm", "activation": "swiglu"}),
    (
        "qwen3",
        {"position": {"kind": "rope", "base": 500.0}, "attention": GROUPED, "norm": "qknorm", "activation": "glu"},
    ),
    ("qwen3", {**ROPE, "attention": WINDOWED, "norm": {"kind": "qknorm", "gain": False}, "activation": "swiglu"}),
    ("arcee", {**ROPE, "attention": GROUPED, "norm": "rmsnorm", "activation": "relu2", "residual": "depth"}),
    ("arcee", {**ROPE, "norm": {"kind": "rmsnorm", "eps": 1e-3}, "activation": "gelu", "tied": True}),
    ("ministral", {**ROPE, "attention": {**WINDOWED, "full_every": 0}, "norm": "rmsnorm", "activation": "swiglu"}),
    ("starcoder2", {**ROPE, "attention": GROUPED, "activation": "relu2"}),
    ("stablelm", {**ROPE, "attention": GROUPED, "activation": "swiglu", "tied": True}),
    ("mpt", {"position": "alibi", "attention": {"kind": "gqa", "heads": 3}, "width": 36}),
    ("mpt", {"position": "alibi", "tied": True}),
    ("deepseek_v3", {**ROPE, "attention": {"kind": "mla", "heads": 4}, "norm": "rmsnorm", "activation": "swiglu"}),
    ("foundry", {**ROPE, "softcap": 15.0, "values": "embeddings", "residual": "start", "tied": True}),
    ("foundry", {"position": "alibi", "attention": {"kind": "gated", "heads": 4}, "norm": "dynamic"}),
]


@pytest.fixture(scope="module")
def kinds() -> list[Tokenizer]:
    return tokenizers()


def answered(place: Path, model: ModelConfig, tokenizer: Tokenizer, format: str, dtype: str = "fp32") -> dict[str, Any]:
    ours = weights(model, tokenizer.vocab_size)
    made = folder.contents(model, ours, tokenizer, folder.chosen(model, format), dtype)
    folder.write(place, made.files, force=False)
    gpt = GPT(model, tokenizer.vocab_size)
    gpt.load_state_dict({**ours, **({"head.weight": ours["embedding.weight"]} if model.tied else {})})
    asked, tensors = questions(gpt, tokenizer)
    return {**answers(str(place), asked, tensors["ids"], tensors["logits"]), "asked": asked}


@pytest.mark.parametrize(("row", "name", "fields"), [(i, *row) for i, row in enumerate(ROWS)])
def test_a_class_of_the_table_has_our_logits_our_greedy_text_and_our_ids(
    row: int, name: str, fields: dict[str, Any], kinds: list[Tokenizer], tmp_path: Path, transformers: None
) -> None:
    model, tokenizer = config(**fields), kinds[row % 3]
    found = answered(tmp_path / "out", model, tokenizer, "auto")
    architecture = next((each.architecture for each in TARGETS if each.name == name), folder.OWN_CLASS)
    assert found["architecture"] == architecture
    assert found["max_difference"] <= LIMITS["fp32"]
    assert found["greedy_equal"] and len(found["asked"]["continued"]) == 24
    assert found["ids_equal"] and found["asked"]["text"] == TEXT


def test_every_row_is_tried() -> None:
    assert {name for name, _ in ROWS} == {*(each.name for each in TARGETS), folder.OWN}


PARTS = {
    "attention": [
        {"kind": "gqa", "heads": 4},
        GROUPED,
        {"kind": "sliding", "heads": 2, "window": 3, "full_every": 2},
        {"kind": "sliding", "heads": 4, "kv_heads": 1, "window": 1},
        {"kind": "mla", "heads": 2},
        {"kind": "gated", "heads": 4},
    ],
    "norm": ["layernorm", "rmsnorm", {"kind": "rmsnorm", "gain": False, "eps": 1e-3}, "qknorm", "dynamic", "none"],
    "activation": ["gelu", "relu2", "swiglu", "glu", {"kind": "gelu", "ratio": 2.5}],
    "position": ["learned", "rope", "alibi", "none"],
    "residual": ["plain", "depth", "layerscale", "start"],
    "values": ["plain", "plain", "residual", "embeddings"],
    "softcap": [0.0, 0.0, 8.0],
    "tied": [True, False],
    "layers": [1, 2, 3],
}
COMMON = {"norm": ["layernorm", "rmsnorm", "qknorm"], "position": ["learned", "rope", "alibi"], "values": ["plain"]}
RECIPES = st.one_of(
    [
        st.fixed_dictionaries({name: st.sampled_from(choices) for name, choices in parts.items()})
        for parts in (PARTS, {**PARTS, **COMMON, "softcap": [0.0]})
    ]
)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(fields=RECIPES)
def test_any_recipe_is_exact_in_a_class_of_transformers_or_in_our_own_format(
    fields: dict[str, Any], kinds: list[Tokenizer], tmp_path_factory: pytest.TempPathFactory, transformers: None
) -> None:
    try:
        model = config(**fields)
    except RequestError:  # parts that don't fit each other are no recipe
        return
    place = tmp_path_factory.mktemp("any") / "out"
    found = answered(place, model, kinds[1], "auto")
    named = json.loads((place / "config.json").read_text())["architectures"]
    can = [each.architecture for each in TARGETS if not folder.reasons(model)[each.name]]
    assert named == [found["architecture"]] == (can[:1] or [folder.OWN_CLASS])
    assert found["max_difference"] <= LIMITS["fp32"] and found["greedy_equal"] and found["ids_equal"]


def test_weights_come_back_from_every_class_as_they_left(kinds: list[Tokenizer]) -> None:
    for _, fields in ROWS:
        model = config(**fields)
        target = folder.chosen(model, "auto")
        if target is not None:
            plain, ours = folder.plainest(model, weights(model, 40))
            theirs = folder.renamed(target.table(plain), ours)
            back = named_back(target.table(plain), theirs, {name: tensor.shape for name, tensor in ours.items()})
            assert back.keys() == ours.keys() and all(torch.equal(back[name], ours[name]) for name in ours)


def test_bfloat16_is_half_as_large_and_near(kinds: list[Tokenizer], tmp_path: Path, transformers: None) -> None:
    model = config(**ROWS[2][1])
    whole = folder.contents(model, weights(model, 257), kinds[1], folder.chosen(model, "auto"), "fp32")
    found = answered(tmp_path / "out", model, kinds[1], "auto", "bf16")
    assert (tmp_path / "out" / folder.WEIGHTS).stat().st_size < 0.7 * len(whole.files[folder.WEIGHTS])
    assert LIMITS["fp32"] < found["max_difference"] < 1.0


def test_a_class_that_cannot_is_refused_with_the_part_and_what_can() -> None:
    with pytest.raises(RequestError, match=r"llama.*norm: layernorm.*rmsnorm has \(choices: auto, gpt2, foun"):
        folder.chosen(config(), "llama")
    with pytest.raises(RequestError, match="did you mean 'llama'"):
        folder.chosen(config(), "lama")


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(RequestError, match="isn't empty"):
            folder.write(tmp_path, {"config.json": b"{}"}, force)
    folder.write(tmp_path / "new", {"foundry.json": b"1"}, force=False)
    folder.write(tmp_path / "new", {"foundry.json": b"2"}, force=True)
    assert (tmp_path / "new/foundry.json").read_bytes() == b"2"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine.txt", "new"]
