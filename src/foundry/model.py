"""GPT: the residual stream on one screen, its initialisation, its parameters and FLOPs counted from structure.

Shapes: P population (may be absent), B batch, T time, D width, H heads, E head dim, V vocabulary. May not: know the
targets, a loss or a device.
"""

from __future__ import annotations

import math
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from foundry.core.section import Section
from foundry.modules import parts
from foundry.modules.activation import Activation
from foundry.modules.attention import Attention
from foundry.modules.norm import Norm
from foundry.modules.optimizer import Weight
from foundry.modules.position import PositionField
from foundry.modules.side import Cache, Side
from foundry.core.seeds import stream_seed


class ModelConfig(Section):
    """Recipe section `model`."""

    layers: int = Field(ge=1, le=512)
    width: int = Field(ge=4, le=65536)
    context: int = Field(ge=2, le=1_048_576)
    attention: Attention
    norm: Norm
    activation: Activation
    position: PositionField
    dropout: float = Field(0.0, ge=0, lt=1)
    tied: bool = True
    """The output head is the token embedding."""
    init_std: float = Field(0.02, gt=0, le=1)

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        head_dim = self.attention.head_dim(self.width)
        with torch.device("meta"):
            self.attention.build(self.width, 0, self.norm)
            self.position.build(self.width, self.attention.heads, head_dim, self.context)
            self.activation.build(self.width)
        return self


class Block(nn.Module):
    """One layer: x + attention(norm(x)), then x + activation(norm(x))."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = config.norm.build(config.width)
        self.attention = config.attention.build(config.width, layer, config.norm)
        self.activation_norm = config.norm.build(config.width)
        self.activation = config.activation.build(config.width)
        self.dropout = config.dropout

    def forward(self, x: Tensor, side: Side) -> Tensor:
        x = x + F.dropout(self.attention(self.attention_norm(x), side), self.dropout, self.training)
        return x + F.dropout(self.activation(self.activation_norm(x)), self.dropout, self.training)


class GPT(nn.Module):
    """Token ids to raw logits."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        heads, head_dim = config.attention.heads, config.attention.head_dim(config.width)
        self.embedding = parts.Embedding(vocab_size, config.width)
        self.position = config.position.build(config.width, heads, head_dim, config.context)
        self.blocks = nn.ModuleList([Block(config, layer) for layer in range(config.layers)])
        self.norm = config.norm.build(config.width)
        self.head = parts.Linear(config.width, vocab_size, role="head")
        if config.tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """ids [B, T] or [P, B, T], T ≤ context → logits [P?, B, T, V]. With a cache, ids are the new tokens only."""
        side = Side(ids, self.position, offset=cache.length if cache else 0, cache=cache)
        x = self.position.embed(self.embedding(ids), side.offset)
        x = F.dropout(x, self.config.dropout, self.training)
        for block in self.blocks:
            x = block(x, side)
        if cache is not None:
            cache.length += ids.shape[-1]
        return self.head(self.norm(x))


def initialise(model: GPT, seed: int) -> None:
    """Fill every parameter, each from a stream of its own keyed by (seed, its name).

    An architecture that shares a parameter's name and shape with another starts from the same numbers there.

    | role      | distribution                         | for                                       |
    |-----------|--------------------------------------|-------------------------------------------|
    | embedding | N(0, init_std²)                      | tokens, learned positions, the tied head  |
    | matrix    | N(0, init_std²)                      | everything that reads the residual stream |
    | out       | N(0, init_std² / (2 · layers))       | what writes into it (Radford et al. 2019) |
    | head      | N(0, init_std²)                      | the untied head                           |
    | gain      | 1                                    | norms                                     |
    | vector    | 0                                    | everything else                           |
    """
    std = model.config.init_std
    stds = {"embedding": std, "matrix": std, "out": std / math.sqrt(2 * model.config.layers), "head": std}
    for weight in weights(model):
        if weight.role in stds:
            generator = torch.Generator().manual_seed(stream_seed(seed, "init", weight.name))
            values = torch.randn(weight.tensor.shape, generator=generator) * stds[weight.role]
            weight.tensor.data.copy_(values)
        else:
            weight.tensor.data.fill_(1.0 if weight.role == "gain" else 0.0)


def weights(model: nn.Module) -> list[Weight]:
    """Every parameter once (a tied head under the embedding's name), with its role."""
    return [Weight(name, tensor, parts.role_of(tensor, tensor.ndim)) for name, tensor in model.named_parameters()]


def count_parameters(config: ModelConfig, vocab_size: int) -> int:
    with torch.device("meta"):
        return sum(weight.tensor.numel() for weight in weights(GPT(config, vocab_size)))


def flops_per_token(config: ModelConfig, vocab_size: int) -> int:
    """Training FLOPs per token: forward, and twice that for backward (Kaplan et al. 2020), attention unmasked."""
    with torch.device("meta"):
        linear = parts.flops_of(GPT(config, vocab_size))
    mixing = config.layers * config.attention.mixing_flops_per_token(config.width, config.context)
    return 3 * (linear + mixing)
