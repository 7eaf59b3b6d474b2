"""The files of an export, of a model, its weights and its tokenizer. May not: read the ledger, or need transformers."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from foundry.core.errors import RequestError
from foundry.data.tokenizer import Tokenizer
from foundry.export import tokenizer as tokenizers
from foundry.export.plainest import plainest
from foundry.export.targets import TARGETS, Target
from foundry.export.weights import renamed
from foundry.model import GPT, ModelConfig

OWN, OWN_CLASS = "foundry", "FoundryForCausalLM"
"""The format for every model that no class of transformers computes; and its class."""
FORMATS = ("auto", *(target.name for target in TARGETS), OWN)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CODE = "modeling_foundry.py"
CONFIG, WEIGHTS, FACTS = "config.json", "model.safetensors", "foundry.json"


def reasons(model: ModelConfig) -> dict[str, str]:
    """Class of the table → why it can't compute this model, "" where it can."""
    with torch.device("meta"):
        plain, _ = plainest(model, dict(GPT(model, 1).named_parameters()))
    return {target.name: target.why_not(plain) for target in TARGETS}


def chosen(model: ModelConfig, format: str) -> Target | None:
    """The class that is asked for, or for `auto` the first that can; None: the format of our own. Raises RequestError
    for one that can't compute it."""
    if format not in FORMATS:
        raise RequestError("export.format", "--format", f"no format '{format}'", got=format, choices=FORMATS)
    why = reasons(model)
    can = [name for name in why if not why[name]]
    if format == "auto":
        format = can[0] if can else OWN
    if why.get(format):
        raise RequestError("export.format", f"--format {format}", why[format], got=format, choices=["auto", *can, OWN])
    return next((target for target in TARGETS if target.name == format), None)


@dataclass(frozen=True)
class Contents:
    """format: the name of its class in the table; model: as it is written, in its plainest parts for a class of
    transformers; files: name → what is in it."""

    format: str
    architecture: str
    model: ModelConfig
    files: dict[str, bytes]


def contents(
    model: ModelConfig, ours: Mapping[str, Tensor], tokenizer: Tokenizer, target: Target | None, dtype: str
) -> Contents:
    """ours: each parameter once, by name, as a checkpoint has them."""
    size, named = tokenizer.vocab_size, str(DTYPES[dtype]).removeprefix("torch.")
    files: dict[str, str | bytes] = {}
    if target is None:
        config = _own_config(model, size, named)
        weights = {f"model.{name}": tensor for name, tensor in {**_tables(model, size), **ours}.items()}
        files[CODE] = (Path(__file__).parent / "assets" / CODE).read_text()
    else:
        model, plain = plainest(model, ours)
        config, weights = target.full_config(model, size, named), renamed(target.table(model), plain)
    files[CONFIG] = _json(config)
    files["generation_config.json"] = _json(dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0))
    files |= tokenizers.files(tokenizer, model.context)
    rounded = {name: tensor.to(DTYPES[dtype]).contiguous() for name, tensor in weights.items()}
    files[WEIGHTS] = safetensors.torch.save(rounded, metadata={"format": "pt"})
    made = {name: text if isinstance(text, bytes) else text.encode() for name, text in files.items()}
    return Contents(target.name if target else OWN, target.architecture if target else OWN_CLASS, model, made)


def _own_config(model: ModelConfig, vocab_size: int, dtype: str) -> dict[str, Any]:
    return {
        "architectures": [OWN_CLASS],
        "model_type": OWN,
        "auto_map": {
            "AutoConfig": f"{Path(CODE).stem}.FoundryConfig",
            "AutoModelForCausalLM": f"{Path(CODE).stem}.{OWN_CLASS}",
        },
        "model": model.model_dump(mode="json"),
        "vocab_size": vocab_size,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "tie_word_embeddings": model.tied,
        "dtype": dtype,
    }


def _tables(model: ModelConfig, vocab_size: int) -> dict[str, Tensor]:
    """What a model computes once from its config, such as the sines of its positions."""
    return dict(GPT(model, vocab_size).named_buffers())


def write(folder: Path, files: Mapping[str, bytes], force: bool) -> None:
    """Put all files into the folder, which appears whole, or file by file over an earlier export's with `force`.
    Raises RequestError for one that holds anything, OSError."""
    check_free(folder, force)
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            (stage / name).write_bytes(content)
        if folder.is_dir() and any(folder.iterdir()):
            for name in files:
                os.replace(stage / name, folder / name)
        else:
            stage.chmod(0o755)
            os.replace(stage, folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def check_free(folder: Path, force: bool) -> None:
    """Raises RequestError for a folder that may not be written to."""
    if folder.exists() and not folder.is_dir():
        raise RequestError("export.exists", str(folder), "is a file, where a folder is needed")
    if folder.is_dir() and any(folder.iterdir()) and not (force and (folder / FACTS).is_file()):
        earlier = (folder / FACTS).is_file()
        hint = "--force writes over the earlier export" if earlier else "name a new folder"
        raise RequestError("export.exists", str(folder), "isn't empty", hint=hint)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
