"""`import DIR|FILE`: another's weights, or an export of ours, as a recipe that begins with them. May not: train."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from foundry.core import places, yaml_io
from foundry.core.errors import RequestError
from foundry.core.files import write_atomic
from foundry.core.fingerprint import bytes_fingerprint
from foundry.core.section import validate
from foundry.core.untrusted import is_word
from foundry.data.tokenizer.file import first_mark, opened
from foundry.documents.exports import Imported
from foundry.export.folder import CONFIG, FACTS, OWN, OWN_CLASS, WEIGHTS
from foundry.export.targets import ACTS, TARGETS, Target
from foundry.export.weights import named_back
from foundry.model import GPT, ModelConfig
from foundry.recipe import Recipe

FOLDER, TOKENIZER, INDEX = "imported", "tokenizer.json", "model.safetensors.index.json"
KINDS = {act: kind for kind, act in ACTS.items()}
OF_NO_WEIGHT = ("architectures", "vocab_size", "bos_token_id", "eos_token_id", "initializer_range", "dtype")


def bring(named: str, name: str, context: int | None, baseline: Path) -> Imported:
    """Write `imported/NAME/` and a recipe that is the baseline's but for its model, its tokenizer and its start.

    context: of the model, in place of what its config says. Raises RequestError for what has no equal here."""
    source = places.root() / Path(named).expanduser()
    if not source.exists():
        raise RequestError("import.no_file", named, "no such file or folder")
    folder = source if source.is_dir() else source.parent
    name = name or folder.resolve().name
    if not is_word(name) or "/" in name or name.startswith("."):  # a folder's name may be another's
        message = "a recipe's name is one word without a slash, and begins with no dot"
        raise RequestError("import.name", "--name", message, got=name)
    file, place = places.experiments() / f"{name}.yaml", places.root() / FOLDER / name
    for taken in (file, place):
        if taken.exists():
            raise RequestError("import.exists", str(taken), "is there already", hint="--name gives it another")
    config, tokens = _json(folder / CONFIG), _json(folder / TOKENIZER)
    tokenizer = opened((folder / TOKENIZER).read_bytes(), str(folder / TOKENIZER))
    theirs = _weights(folder, source)
    if OWN_CLASS in config.get("architectures", ()):
        model, format, ours = _own(config, theirs)
    else:
        target = _target(config)
        model, format = _model(target, config, folder, context), target.name
        ours = _ours(target, model, config, theirs, tokenizer.vocab_size, first_mark(tokens) is not None)
    content = safetensors.torch.save(ours)
    values = Recipe.load(baseline).to_dict()
    values |= {"name": name, "model": model.model_dump(mode="json")}
    values["data"]["tokenizer"] = {"kind": "file", "path": str(_below(place / TOKENIZER))}
    values["data"]["tokenizer"]["hash"] = bytes_fingerprint((folder / TOKENIZER).read_bytes())
    values["init"] = {"from": str(_below(place / WEIGHTS)), "hash": bytes_fingerprint(content)}
    recipe = Recipe.from_dict(values)
    write_atomic(place / TOKENIZER, (folder / TOKENIZER).read_bytes())
    write_atomic(place / WEIGHTS, content)
    recipe.save(file, like=yaml_io.read_text(baseline))
    return Imported(
        file=str(file),
        recipe=recipe.fingerprint,
        format=format,
        weights=str(place / WEIGHTS),
        hash=values["init"]["hash"],
        tokenizer=str(place / TOKENIZER),
        parameters=sum(each.numel() for each in ours.values()),
        next=(f"foundry train {file}", f"foundry campaign --baseline {file}"),
    )


def _below(path: Path) -> Path:
    return path.relative_to(places.root())


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else f"is not JSON: {error}"
        raise RequestError("import.no_file", str(path), f"{what}; weights are read by it") from None
    if not isinstance(found, dict):
        raise RequestError("import.no_file", str(path), "is not a JSON object")
    return found


def _weights(folder: Path, source: Path) -> dict[str, Tensor]:
    index = folder / INDEX
    names = [source.name] if source.is_file() else [WEIGHTS]
    if source.is_dir() and index.is_file():
        names = sorted(set(_json(index)["weight_map"].values()))
    found: dict[str, Tensor] = {}
    for name in names:
        try:
            found |= safetensors.torch.load((folder / Path(name).name).read_bytes())
        except OSError as error:
            raise RequestError("import.no_file", str(folder / name), str(error.strerror)) from None
        except (safetensors.SafetensorError, ValueError, KeyError) as error:
            raise RequestError("import.bad_file", str(folder / name), f"is not safetensors: {error}") from None
    return found


def _own(config: dict[str, Any], theirs: Mapping[str, Tensor]) -> tuple[ModelConfig, str, dict[str, Tensor]]:
    model = validate(ModelConfig, config.get("model"), "model")
    with torch.device("meta"):
        names = [name for name, _ in GPT(model, config["vocab_size"]).named_parameters()]
    missing = next((name for name in names if f"model.{name}" not in theirs), None)
    if missing:
        raise RequestError("import.weight", f"model.{missing}", "is missing")
    return model, OWN, {name: theirs[f"model.{name}"].float() for name in names}


def _target(config: dict[str, Any]) -> Target:
    named = [str(each) for each in config.get("architectures") or ()]
    found = next((target for target in TARGETS if target.architecture in named), None)
    if found is None:
        choices = [*(target.architecture for target in TARGETS), OWN_CLASS]
        got = named[0] if named else str(config.get("model_type"))
        raise RequestError("import.class", "config.json", f"'{got}' isn't known here", got=got, choices=choices)
    return found


def _model(target: Target, config: dict[str, Any], folder: Path, context: int | None) -> ModelConfig:
    """Of our own export as it says, of another as its config does; and what the config says besides must be so."""
    facts = _json(folder / FACTS) if (folder / FACTS).is_file() else {}
    if facts.get("format") == target.name:
        values = facts["model"]
    elif target.name in READ:
        try:
            values = READ[target.name](config)
        except KeyError as error:
            raise RequestError("import.config", f"config.json: {error.args[0]}", "is missing") from None
    else:
        message = "only Foundry's own exports of this class are read"
        raise RequestError("import.class", "config.json", message, got=target.name, choices=[*READ])
    model = validate(ModelConfig, values, "model")
    if why := target.why_not(model):
        raise RequestError("import.config", "config.json", why)
    for key, ours in target.full_config(model, 1, "").items():
        if key not in OF_NO_WEIGHT and key in config and not _same(config[key], ours):
            message = f"{config[key]!r} has no equal here, {ours!r} has"
            raise RequestError("import.config", f"config.json: {key}", message, got=str(config[key]))
    for key in ("rope_scaling", "quantization_config"):
        if config.get(key):
            raise RequestError("import.config", f"config.json: {key}", "has no equal here", got=str(config[key]))
    return model.model_copy(update={"context": context}) if context else model


def _same(theirs: Any, ours: Any) -> bool:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(_same(theirs[key], ours[key]) for key in ours.keys() & theirs.keys())
    return theirs == ours or (theirs is None and _may_be_null(ours))


def _may_be_null(ours: Any) -> bool:
    """Whether a null in a config may stand for it: sizes that follow from others."""
    return isinstance(ours, (int, list))


def _llama(config: dict[str, Any]) -> dict[str, Any]:
    width, heads = config["hidden_size"], config["num_attention_heads"]
    rope = config.get("rope_parameters") or {}
    return {
        "layers": config["num_hidden_layers"],
        "width": width,
        "context": config["max_position_embeddings"],
        "attention": {"kind": "gqa", "heads": heads, "kv_heads": config.get("num_key_value_heads") or heads},
        "norm": {"kind": "rmsnorm", "eps": config["rms_norm_eps"]},
        "activation": {"kind": _act(config["hidden_act"]), "ratio": config["intermediate_size"] * 1.5 / width},
        "position": {"kind": "rope", "base": float(config.get("rope_theta") or rope.get("rope_theta") or 10_000.0)},
        "tied": config.get("tie_word_embeddings", False),
    }


def _qwen3(config: dict[str, Any]) -> dict[str, Any]:
    read = _llama(config)
    if config.get("use_sliding_window"):
        raise RequestError("import.config", "config.json: use_sliding_window", "is read of our own exports alone")
    return {**read, "norm": {"kind": "qknorm", "eps": config["rms_norm_eps"]}}


def _gpt2(config: dict[str, Any]) -> dict[str, Any]:
    width = config["n_embd"]
    hidden = config.get("n_inner") or 4 * width
    return {
        "layers": config["n_layer"],
        "width": width,
        "context": config["n_positions"],
        "attention": {"kind": "gqa", "heads": config["n_head"]},
        "norm": {"kind": "layernorm", "eps": config["layer_norm_epsilon"]},
        "activation": {"kind": _act(config["activation_function"]), "ratio": hidden / width},
        "position": "learned",
        "tied": config.get("tie_word_embeddings", True),
    }


def _act(name: str) -> str:
    if name not in KINDS:
        raise RequestError("import.config", "config.json", f"'{name}' has no equal here", got=name, choices=[*KINDS])
    return KINDS[name]


READ: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"gpt2": _gpt2, "llama": _llama, "qwen3": _qwen3}


def _ours(
    target: Target,
    model: ModelConfig,
    config: dict[str, Any],
    theirs: Mapping[str, Tensor],
    vocab_size: int,
    marked: bool,
) -> dict[str, Tensor]:
    """By our names. marked: their id 0 is our document mark; else the token that ends a text is moved there."""
    known = dict(theirs)
    if target.name == "gpt2" and "wte.weight" in known:
        known = {f"transformer.{name}": tensor for name, tensor in known.items()}
    for name in [each for each in known if each.endswith((".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq"))]:
        del known[name]
    if model.tied:
        known.pop(target.head, None)
    for name in (target.embedding, *(() if model.tied else (target.head,))):
        if name not in known:
            raise RequestError("import.weight", name, "is missing")
        known[name] = _rows(known[name], config, vocab_size, marked, name)
    if (positions := "transformer.wpe.weight") in known and target.name == "gpt2":
        known[positions] = known[positions][: model.context]
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in GPT(model, vocab_size).named_parameters()}
    return named_back(target.table(model), known, shapes)


def _rows(tensor: Tensor, config: dict[str, Any], vocab_size: int, marked: bool, name: str) -> Tensor:
    said = config.get("eos_token_id")
    end = said[0] if isinstance(said, list) and said else said
    if not isinstance(end, int) or not 0 <= end < len(tensor):
        raise RequestError(
            "import.config", "config.json: eos_token_id", "no token ends a text: there is none to begin one"
        )
    rows = tensor if marked else torch.cat((tensor[end : end + 1], tensor))
    if len(rows) < vocab_size:
        message = f"has rows for {len(rows)} tokens, and its tokenizer {vocab_size}"
        raise RequestError("import.weight", name, message)
    return rows[:vocab_size]
