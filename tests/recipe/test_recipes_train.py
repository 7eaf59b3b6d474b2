"""Every recipe that validates builds and takes a step: all kinds of all slots, with fields and sizes at random."""

from __future__ import annotations

import random
from typing import Any

import torch

from foundry.core.errors import RequestError
from foundry.core.slots import SLOTS
from foundry.model import build, initialise
from foundry.recipe import Recipe
from foundry.train.loop import train
from foundry.train.state import TrainState

FEWEST = 400  # recipes that must have been tried


def some_value(schema: dict[str, Any], rng: random.Random) -> Any:
    """A small legal value of a field, by its JSON schema; None where there is nothing to draw from."""
    if "anyOf" in schema:
        return some_value(rng.choice(schema["anyOf"]), rng)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    low, high = schema.get("minimum", schema.get("exclusiveMinimum", 0)), schema.get("maximum", 8)
    match schema.get("type"):
        case "integer":
            return rng.randint(low, int(min(high, low + 8)))
        case "number":
            return rng.uniform(low, min(high, low + 1)) or 0.5
        case "boolean":
            return rng.random() < 0.5
    return None


def some_part(slot: Any, rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(slot.kinds())
    fields = slot.config(kind).model_json_schema()["properties"]
    drawn = {name: some_value(schema, rng) for name, schema in fields.items() if rng.random() < 0.5}
    kept = {name: value for name, value in drawn.items() if value is not None and name != "kind"}
    needed = {"attention": {"heads": rng.randint(1, 6)}, "optimizer": {"lr": 0.003}}.get(slot.name, {})
    return {**kept, **needed, "kind": kind}


def some_recipe(base: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    values = {room: dict(values) if isinstance(values, dict) else values for room, values in base.items()}
    for slot in SLOTS:
        room, _, name = slot.at.partition(".")
        if name != "tokenizer":
            values[room][name] = some_part(slot, rng)
    tied, heads = rng.random() < 0.5, values["model"]["attention"]["heads"]
    values["model"] |= {
        "layers": rng.randint(1, 3),
        "width": max(4, heads * rng.randint(1, 12)),
        "context": rng.randint(2, 9),
        "tied": tied,
        "head_init": "plain" if tied else rng.choice(["plain", "zero"]),
        "out_init": rng.choice(["scaled", "plain", "zero"]),
        "dropout": rng.choice([0.0, 0.3]),
        "softcap": rng.choice([0.0, 5.0]),
    }
    values["train"] |= {
        "batch_size": 4,
        "accumulation": rng.choice([1, 2, 4]),
        "ema": rng.choice([0.0, 0.9]),
        "grad_clip": rng.choice([0.0, 1.0]),
        "precision": rng.choice(["fp32", "bf16"]),
    }
    return values


def take_steps(recipe: Recipe, vocab_size: int) -> None:
    model = build(recipe.model, vocab_size)
    initialise(model, 0)
    state = TrainState.fresh(model, recipe.train)
    ids = torch.randint(vocab_size, (recipe.train.batch_size, recipe.model.context + 1))
    for fact in train(state, model, lambda step: ids, recipe.train, seed=0, steps=2):
        assert fact.loss.isfinite()
    assert state.finite()


def test_every_recipe_that_validates_builds_and_takes_a_step(recipe: Recipe) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng, tried, seen = random.Random(7), 0, set()
    while tried < FEWEST:
        values = some_recipe(recipe.to_dict(), rng)
        try:
            drawn = Recipe.from_dict(values)
        except RequestError:
            continue
        try:
            take_steps(drawn, rng.randint(2, 40))
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error} in {drawn.model} {drawn.train}") from error
        tried += 1
        seen |= {
            (slot.name, getattr(getattr(drawn, slot.at.split(".")[0]), slot.at.split(".")[1]).kind) for slot in SLOTS
        }
    wanted = {(slot.name, kind) for slot in SLOTS if slot.name != "tokenizer" for kind in slot.kinds()}
    assert wanted <= seen


def test_latent_attention_turns_heads_of_odd_size(recipe: Recipe) -> None:
    values = recipe.to_dict()
    values["model"] |= {"width": 36, "attention": {"kind": "mla", "heads": 4}, "position": "rope"}
    take_steps(Recipe.from_dict(values), vocab_size=11)
