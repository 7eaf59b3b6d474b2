"""Tiny models with weights that tell every part apart, and tokenizers that hold any text."""

from __future__ import annotations

from typing import Any

import torch

from foundry.core.section import validate
from foundry.data.tokenizer import Tokenizer, bpe, bytes, char
from foundry.export.verify import TEXT
from foundry.model import GPT, ModelConfig, initialise

GROUPED = {"kind": "gqa", "heads": 4, "kv_heads": 2}


def config(**fields: Any) -> ModelConfig:
    values: dict[str, Any] = {
        "layers": 2,
        "width": 32,
        "context": 24,
        "attention": {"kind": "gqa", "heads": 4},
        "norm": "layernorm",
        "activation": "gelu",
        "position": "learned",
        "init_std": 0.3,
        "tied": False,
    }
    return validate(ModelConfig, {**values, **fields}, "model")


def weights(model: ModelConfig, vocab_size: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """As after some training: no gain is 1, and nothing is 0."""
    gpt, draw = GPT(model, vocab_size), torch.Generator().manual_seed(seed)
    initialise(gpt, seed)
    for name, parameter in gpt.named_parameters():
        if gpt.roles[name] in ("gain", "vector"):
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw)
    return {name: parameter.detach() for name, parameter in gpt.named_parameters()}


def tokenizers() -> list[Tokenizer]:
    texts = [TEXT, "the cat and the hat sat on the mat\n" * 3]
    alphabet = "".join(texts)
    made = char.Config(), bytes.Config(), bpe.Config(vocab_size=300)
    return [each.train(texts, alphabet) for each in made]
