"""GPT: the residual stream on one screen, its initialisation, its parameters and FLOPs counted from structure.

Shapes: P population (may be absent), B batch, T time, D width, H heads, E head dim, V vocabulary. May not: know the
targets, a loss or a device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from foundry.core import places
from foundry.core.code import import_file, is_admitted, parsed
from foundry.core.errors import FoundryError, RequestError
from foundry.core.section import Section
from foundry.core.seeds import stream_seed
from foundry.core.slot import PartConfig, Slot
from foundry.core.slots import with_slots
from foundry.modules import activation, attention, layers, norm, position, residual, values
from foundry.modules.activation import Activation
from foundry.modules.attention import Attention
from foundry.modules.forward_context import Cache, Side
from foundry.modules.norm import Norm
from foundry.modules.optimizer import Weight
from foundry.modules.position import PositionField
from foundry.modules.residual import ResidualField
from foundry.modules.values import Values, ValuesField, ValueSizes


@with_slots("model")
class ModelConfig(Section):
    """Recipe section `model`."""

    layers: int = Field(ge=1, le=512)
    width: int = Field(ge=4, le=65536)
    context: int = Field(ge=2, le=1_048_576)
    attention: Attention
    norm: Norm
    activation: Activation
    position: PositionField
    values: ValuesField = Field("plain", validate_default=True)
    residual: ResidualField = Field("plain", validate_default=True)
    code: str = Field("", max_length=64, pattern=r"^([A-Za-z]\w*)?$")
    """A whole-file model: `model` for `workspace/model.py`, whose class `Model` takes the place of GPT; "" for GPT."""
    dropout: float = Field(0.0, ge=0, lt=1)
    tied: bool = True
    """The output head is the token embedding."""
    softcap: float = Field(0.0, ge=0, le=1000)
    """Logits are bent to stay below it, cap · tanh(logits / cap) (Gemma Team 2024); 0 for none."""
    init_std: float = Field(0.02, gt=0, le=1)
    out_init: Literal["scaled", "plain", "zero"] = "scaled"
    """How what writes into the stream starts: by depth, as other matrices do, or at zero."""
    head_init: Literal["plain", "zero"] = "plain"
    """How an untied head starts; at zero, every token is equally likely at first."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        """Each part is built once, without memory, so that what doesn't fit is refused before a run exists.

        What is sealed can't be built here; there, the sandbox finds out.
        """
        if self.code:
            parsed(self.code_file, "Model")
        if not self.sealed:
            self._build_parts()
        if self.tied and self.head_init == "zero":
            raise RequestError("recipe.bad_value", "model.head_init", "a tied head can't start at zero", got="zero")
        return self

    def _build_parts(self) -> None:
        with torch.device("meta"):
            with _blamed_on(attention.SLOT):
                head_dim = self.attention.head_dim(self.width)
                self.attention.build(self.width, 0, self.norm)
            with _blamed_on(norm.SLOT):
                self.norm.build(self.width)
            with _blamed_on(activation.SLOT):
                self.activation.build(self.width)
            with _blamed_on(position.SLOT):
                self.position.build(self.width, self.attention.heads, head_dim, self.context)
            with _blamed_on(residual.SLOT):
                self.residual.build(self.width, self.layers)
            with _blamed_on(values.SLOT):
                self.build_values(vocab_size=1)

    @property
    def sealed(self) -> bool:
        """Whether some of it is workspace code that this process may not run, so that it can't be built here."""
        return any(part.sealed for _, part in self if isinstance(part, PartConfig)) or bool(
            self.code and not is_admitted()
        )

    @property
    def code_file(self) -> Path:
        return places.workspace() / f"{self.code}.py"

    def build_values(self, vocab_size: int) -> Values | None:
        """What else flows into attention's values. Raises ValueError when this attention has none that it shows."""
        sizes = self.attention.value_sizes(self.width, self.layers, vocab_size)
        source = self.values.build(sizes or ValueSizes(vocab_size, self.layers, 1, 1))
        if source is not None and sizes is None:
            raise ValueError(f"'{self.values.kind}' mixes into values, and attention '{self.attention.kind}' has none")
        return source


@contextmanager
def _blamed_on(slot: Slot) -> Iterator[None]:
    """What a part raises while it is built, as a RequestError whose path starts at its slot."""
    try:
        yield
    except FoundryError as error:
        raise error.under(slot.at) from None
    except Exception as error:  # agents' parts may raise anything
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise RequestError("recipe.bad_value", slot.at, f"{kind}{error}") from error


class Block(nn.Module):
    """One layer: x + attention(norm(x)), then x + activation(norm(x)), each + as `residual` has it."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = config.norm.build(config.width)
        self.attention = config.attention.build(config.width, layer, config.norm)
        self.attention_residual = config.residual.build(config.width, config.layers)
        self.activation_norm = config.norm.build(config.width)
        self.activation = config.activation.build(config.width)
        self.activation_residual = config.residual.build(config.width, config.layers)
        self.dropout = config.dropout

    def forward(self, x: Tensor, side: Side, start: Tensor) -> Tensor:
        branch = F.dropout(self.attention(self.attention_norm(x), side), self.dropout, self.training)
        x = self.attention_residual(x, branch, start)
        branch = F.dropout(self.activation(self.activation_norm(x)), self.dropout, self.training)
        return self.activation_residual(x, branch, start)


class GPT(nn.Module):
    """Token ids to raw logits."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        heads, head_dim = config.attention.heads, config.attention.head_dim(config.width)
        self.embedding = layers.Embedding(vocab_size, config.width)
        self.position = config.position.build(config.width, heads, head_dim, config.context)
        self.values = config.build_values(vocab_size)
        self.blocks = nn.ModuleList([Block(config, layer) for layer in range(config.layers)])
        self.norm = config.norm.build(config.width)
        self.head = layers.Linear(config.width, vocab_size, role="head")
        if config.tied:
            self.head.weight = self.embedding.weight
        for name in config.joined:
            getattr(config, name).join(self)
        # by name: a parameter loses its attributes when it is copied or sharded
        self.roles = {name: layers.role_of(tensor) for name, tensor in self.named_parameters()}

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """ids [B, T] or [P, B, T], T ≤ context → logits [P?, B, T, V]. With a cache, ids are the new tokens only."""
        return self.logits(self.stream(ids, cache))

    def stream(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """The normalised residual stream after the last layer, [P?, B, T, D]: what the head reads."""
        side = Side(ids, self.position, cache.length if cache else 0, cache, self.values)
        x = self.position.embed(self.embedding(ids), side.offset)
        x = start = F.dropout(x, self.config.dropout, self.training)
        for block in self.blocks:
            x = block(x, side, start)
        if cache is not None:
            cache.length += ids.shape[-1]
        return self.norm(x)

    def logits(self, x: Tensor) -> Tensor:
        """x [P?, B, T, D] from `stream`, or some of its tokens → [P?, B, T, V]."""
        logits, cap = self.head(x), self.config.softcap
        return cap * torch.tanh(logits / cap) if cap else logits

    @property
    def members(self) -> int | None:
        """P of a stacked model, None for one that stands alone."""
        return self.embedding.weight.shape[0] if self.embedding.weight.ndim == 3 else None


def build(config: ModelConfig, vocab_size: int) -> GPT:
    """The recipe's model: GPT, or the class `Model` of the workspace file that `code` names, which derives from GPT.

    Raises RequestError for a file without one, or where workspace code may not run; whatever its constructor raises.
    """
    if not config.code:
        return GPT(config, vocab_size)
    module = import_file(f"foundry_workspace.{config.code}", config.code_file)
    kind = getattr(module, "Model", None)
    if not (isinstance(kind, type) and issubclass(kind, GPT)):
        raise RequestError("code.no_class", str(config.code_file), "defines no class Model(GPT)")
    model = kind(config, vocab_size)
    model.roles = {name: layers.role_of(tensor) for name, tensor in model.named_parameters()}  # of its own ones too
    return model


def initialise(model: GPT, seed: int) -> None:
    """Fill every parameter, each from a stream of its own keyed by (seed, its name).

    An architecture that shares a parameter's name and shape with another starts from the same numbers there.
    A stack is made of members that are initialised alone. Raises ValueError for a stacked model.

    | role      | distribution                         | for                                       |
    |-----------|--------------------------------------|-------------------------------------------|
    | embedding | N(0, init_std²)                      | tokens, learned positions, the tied head  |
    | matrix    | N(0, init_std²)                      | everything that reads the residual stream |
    | out       | N(0, init_std² / (2 · layers))       | what writes into it (Radford et al. 2019) |
    |           | or as matrix, or 0, by `out_init`    |                                           |
    | head      | N(0, init_std²), or 0 by `head_init` | the untied head                           |
    | gain      | 1                                    | norms                                     |
    | vector    | 0                                    | everything else                           |
    """
    if model.members is not None:
        raise ValueError("initialise each member alone, then stack them")
    config, std = model.config, model.config.init_std
    out = {"scaled": std / math.sqrt(2 * config.layers), "plain": std, "zero": 0.0}[config.out_init]
    head = {"plain": std, "zero": 0.0}[config.head_init]
    stds = {"embedding": std, "matrix": std, "out": out, "head": head}
    for weight in weights(model):
        if weight.role in stds:
            generator = torch.Generator().manual_seed(stream_seed(seed, "init", weight.name))
            weight.tensor.data.copy_(torch.randn(weight.tensor.shape, generator=generator) * stds[weight.role])
        else:
            weight.tensor.data.fill_(1.0 if weight.role == "gain" else 0.0)


def weights(model: GPT) -> list[Weight]:
    """Every parameter once (a tied head under the embedding's name), with its role."""
    return [Weight(name, tensor, model.roles[name]) for name, tensor in model.named_parameters()]


def count_parameters(config: ModelConfig, vocab_size: int) -> int:
    """Trained numbers, a tied head counted once."""
    with torch.device("meta"):
        return sum(weight.tensor.numel() for weight in weights(build(config, vocab_size)))


def flops_per_token(config: ModelConfig, vocab_size: int) -> int:
    """Training FLOPs per token at full context: forward, and twice that for backward (Kaplan et al. 2020).

    What counts: two for each weight of each matrix product, and scores and mixing over all `context` keys, the causal
    mask not discounted. What doesn't: lookups, norms, elementwise functions, softmax, the optimizer.
    """
    with torch.device("meta"):
        linear = layers.flops_of(GPT(config, vocab_size))
    mixing = config.layers * config.attention.mixing_flops_per_token(config.width, config.context)
    return 3 * (linear + mixing)
