"""`foundry import`: weights from elsewhere are a recipe's start, bit by bit, and part of what the recipe is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import foundry
from foundry.core import yaml_io
from foundry.core.errors import RequestError, RunFailure, WorkError
from foundry.data.tokenizer import Tokenizer
from foundry.export import folder
from foundry.export.bring import bring
from foundry.model import GPT
from foundry.recipe import Recipe
from foundry.train import start
from tests.export.models import GROUPED, config, tokenizers, weights
from tests.home import small_lab

BASELINE = Path("experiments/baseline.yaml")
ROPE = {"position": "rope", "attention": GROUPED}
MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {"residual": "depth"},
    "llama": {**ROPE, "norm": {"kind": "rmsnorm", "gain": False}, "activation": "swiglu", "tied": True},
    "qwen3": {**ROPE, "norm": "qknorm", "activation": "glu"},
    "mpt": {"position": "alibi"},
    "deepseek_v3": {**ROPE, "attention": {"kind": "mla", "heads": 4}, "norm": "rmsnorm", "activation": "glu"},
    "foundry": {"softcap": 9.0, "residual": "start", "tied": True},
}


def left(place: Path, tokenizer: Tokenizer, fields: dict[str, Any], ours: bool = True) -> GPT:
    """An export, and the model that left; not ours: as another would have written it."""
    model = config(**fields)
    leaving = weights(model, tokenizer.vocab_size)
    made = folder.contents(model, leaving, tokenizer, folder.chosen(model, "auto"), "fp32")
    facts = {"format": made.format, "model": made.model.model_dump(mode="json")}
    folder.write(place, {**made.files, **({folder.FACTS: json.dumps(facts).encode()} if ours else {})}, force=False)
    gpt = GPT(model, tokenizer.vocab_size)
    for name, parameter in gpt.named_parameters():
        parameter.data.copy_(leaving[name])
    return gpt.eval()


def begun(recipe: Recipe, vocab_size: int) -> GPT:
    assert recipe.init is not None
    made = GPT(recipe.model, vocab_size)
    start.begin(made, start.Start.model_validate(recipe.init.start()))
    return made.eval()


@pytest.mark.parametrize("format", MODELS)
@pytest.mark.parametrize("ours", [True, False])
def test_what_left_comes_back_as_the_start_of_a_recipe(format: str, ours: bool, home: Path) -> None:
    for tokenizer in tokenizers()[:2] if ours else tokenizers()[2:]:
        name = f"{type(tokenizer).__name__}-{format}"
        gpt = left(Path("out") / name, tokenizer, MODELS[format], ours)
        if not ours and format in ("mpt", "deepseek_v3"):
            with pytest.raises(RequestError, match="only Foundry's own exports"):
                bring(f"out/{name}", "", None, BASELINE)
            continue
        brought = bring(f"out/{name}", "", None, BASELINE)
        recipe = Recipe.load(brought.file)
        assert brought.format == format and recipe.fingerprint == brought.recipe and recipe.name == name
        same = recipe.data.tokenizer.train([], "")  # type: ignore[attr-defined]
        assert same.vocab_size == tokenizer.vocab_size
        assert same.encode("the hat\n").tolist() == tokenizer.encode("the hat\n").tolist()
        ids = torch.randint(tokenizer.vocab_size, (2, 24), generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            assert torch.allclose(begun(recipe, same.vocab_size)(ids), gpt(ids), atol=2e-5)


def test_a_start_is_part_of_what_a_recipe_is_and_must_fit(home: Path) -> None:
    tokenizer = tokenizers()[1]
    left(Path("out"), tokenizer, {})
    recipe = Recipe.load(bring("out", "grown", None, BASELINE).file)
    plain = recipe.to_dict()
    weights_file = Path("imported/grown/model.safetensors")
    assert recipe.fingerprint != Recipe.from_dict({**plain, "init": None}).fingerprint
    Path("elsewhere.safetensors").write_bytes(weights_file.read_bytes())
    assert Recipe.from_dict({**plain, "init": {"from": "elsewhere.safetensors"}}).fingerprint == recipe.fingerprint
    with small_lab() as lab:
        without = Recipe.from_dict({**plain, "init": None})
        lab._data = {recipe.data.model_dump_json(): lab.data(Recipe.load(BASELINE))}
        assert lab.unlike(without, recipe) == lab.unlike(recipe, without) == "init"
        assert lab.unlike(recipe, recipe) == ""

    for changes, message in (({"width": 36}, "a place for"), ({"position": "none"}, "no place")):
        other = Recipe.from_dict({**plain, "model": {**plain["model"], **changes}})
        with pytest.raises(RunFailure, match=f"invalid: init has .* and the model {message}"):
            begun(other, tokenizer.vocab_size)
    safetensors.torch.save_file({"embedding.weight": torch.zeros(1)}, weights_file)
    with pytest.raises(WorkError, match="other weights than the recipe begins with"):
        begun(recipe, tokenizer.vocab_size)
    weights_file.unlink()
    assert Recipe.from_dict(plain).fingerprint == recipe.fingerprint, "a recipe on record is read without its file"
    with pytest.raises(WorkError, match=r"init\.no_file"):
        begun(recipe, tokenizer.vocab_size)


def test_a_run_goes_on_from_what_was_brought(home: Path) -> None:
    project = foundry.Project(".")
    first = project.train(BASELINE, judged_bytes=2048, device="cpu")
    project.export(first.run, to="out", verify=False)
    project.import_("out", name="grown")
    values = yaml_io.load(Path("experiments/grown.yaml"))
    values["train"]["optimizer"]["lr"] = 1e-9
    values["budget"]["tokens"] = 64
    yaml_io.save(Path("experiments/grown.yaml"), values)
    again = project.train("experiments/grown.yaml", judged_bytes=2048, device="cpu")
    assert again.status == "done" and again.val_bpb == pytest.approx(first.val_bpb, abs=1e-4)


def test_what_has_no_equal_here_is_refused(home: Path) -> None:
    left(Path("out"), tokenizers()[1], MODELS["llama"], ours=False)
    for name in ("../up", "..", "set it and promote", "\x1b[1m"):
        with pytest.raises(RequestError, match="one word without a slash"):
            bring("out", name, None, BASELINE)
    known = json.loads(Path("out/config.json").read_text())
    for change, message in (
        ({"hidden_act": "gelu_new"}, "'gelu_new' has no equal here"),
        ({"attention_bias": True}, "attention_bias: True has no equal here, False has"),
        ({"rope_scaling": {"type": "yarn"}}, "rope_scaling: has no equal"),
        ({"head_dim": 16}, "head_dim: 16 has no equal here, 8 has"),
        ({"architectures": ["MambaForCausalLM"]}, "'MambaForCausalLM' isn't known"),
        ({"intermediate_size": 100}, "intermediate_size: 100 has no equal"),
    ):
        Path("out/config.json").write_text(json.dumps({**known, **change}))
        with pytest.raises(RequestError, match=message):
            bring("out", "", None, BASELINE)
    Path("out/config.json").write_text(json.dumps(known))
    theirs = safetensors.torch.load_file("out/model.safetensors")
    for more, message in (
        ({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}, "q_proj.bias: has no place"),
        ({"model.norm.weight": torch.ones(31)}, r"model.norm.weight: is \[31\], where \[32\] is needed"),
    ):
        safetensors.torch.save_file({**theirs, **more}, "out/model.safetensors")
        with pytest.raises(RequestError, match=message):
            bring("out", "", None, BASELINE)
    Path("out/tokenizer.json").unlink()
    with pytest.raises(RequestError, match="No such file"):
        bring("out", "", None, BASELINE)
    assert not Path("imported").exists() and not Path("experiments/out.yaml").exists()
