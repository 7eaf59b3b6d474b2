"""Stacking: order means nothing, conflicts name both, inverses lead back."""

from __future__ import annotations

import itertools
import random

import pytest

from foundry.core.errors import RequestError
from foundry.mutate import all_variants, mutate, parse, stack_of, words_of
from foundry.mutate.families import FAMILIES
from foundry.recipe import Recipe
from foundry.recipe.edits import Edit, apply


def one_of_each(recipe: Recipe) -> dict[str, list[Edit]]:
    """A variant of each family that changes something, with its edits; two of `set`."""
    edits = {text: mutate(recipe, text)[1] for text in all_variants(recipe)}
    changing = {text.partition(":")[0]: text for text, changes in edits.items() if changes}
    assert changing.keys() == FAMILIES.keys() - {"set"}
    texts = [*changing.values(), "set:train.accumulation=2", "set:model.attention.heads=8"]
    return {text: mutate(recipe, text)[1] for text in texts}


def test_every_pair_of_families_stacks_or_refuses_with_both_names(recipe: Recipe) -> None:
    stacked = refused = 0
    for (a, edits_a), (b, edits_b) in itertools.combinations(one_of_each(recipe).items(), 2):
        try:
            result, edits = mutate(recipe, f"{a}+{b}")
        except RequestError as error:
            assert a in str(error) and b in str(error), error
            refused += 1
            continue
        assert sorted(edits, key=str) == sorted([*edits_a, *edits_b], key=str)
        assert result.fingerprint == apply(recipe, [*edits_a, *edits_b]).fingerprint
        stacked += 1
    assert stacked > 200 and refused > 4


def test_the_order_of_a_stack_means_nothing(recipe: Recipe) -> None:
    texts = [
        "attention:gqa_2kv",
        "norm:rmsnorm",
        "lr:x2",
        "position:rope",
        "data:dedupe",
        "set:train.ema=0.9",
        "depth:2",
    ]
    expected = mutate(recipe, "+".join(texts))[0]
    rng = random.Random(0)
    for _ in range(20):
        rng.shuffle(texts)
        assert parse("+".join(texts)) == parse("+".join(sorted(texts)))
        assert mutate(recipe, " + ".join(texts))[0] == expected


def test_the_inverses_of_every_mutation_lead_back(recipe: Recipe) -> None:
    texts = all_variants(recipe)
    stacks = [
        *texts,
        "+".join(["depth:6", "width:x2", "loss:focal", "lr:x3", "set:model.position={kind: rope, base: 99}"]),
    ]
    for text in stacks:
        result, edits = mutate(recipe, text)
        back = apply(result, [edit.inverse() for edit in reversed(edits)])
        assert back.fingerprint == recipe.fingerprint, text


@pytest.mark.parametrize(
    "stack",
    [
        ("attention:gqa_2kv", "attention:gqa_1kv"),
        ("attention:gqa_2kv", "set:model.attention={kind: gqa, heads: 2}"),
        ("attention:mha", "set:model.attention.heads=8"),  # mha is as many key/value heads as there are heads
        ("attention:gqa_2kv", "width:256"),
        ("norm:layernorm", "norm:rmsnorm"),  # though the first changes nothing
        ("lr:1e-3", "lr:2e-3"),
        ("lr:x2", "set:train={}"),
        ("data:min_bytes=1", "data:drop_short"),
        ("set:name=a", "set:name=b"),
    ],
)
def test_two_that_claim_one_path_are_refused_with_both_names(recipe: Recipe, stack: tuple[str, str]) -> None:
    for texts in (stack, stack[::-1]):
        with pytest.raises(RequestError) as caught:
            mutate(recipe, "+".join(texts))
        assert caught.value.code == "mutate.conflict"
        assert all(text in str(caught.value) for text in texts)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("lr:1e+3", ["lr:1e+3"]),
        ("lr:1e+3+norm:rmsnorm", ["lr:1e+3", "norm:rmsnorm"]),
        ("adam_betas:0.9,0.95+lr:+1e-3", ["adam_betas:0.9,0.95", "lr:+1e-3"]),
        ("set:name=a+b", ["set:name=a+b"]),
        ("set:name='a+norm:rmsnorm'+norm:qknorm", ["norm:qknorm", "set:name='a+norm:rmsnorm'"]),
        ("set:name=don't+norm:qknorm", ["norm:qknorm", "set:name=don't"]),
        ("set:x={a: 1+b:2, c: [d+e:f]}+lr:1", ["lr:1", "set:x={a: 1+b:2, c: [d+e:f]}"]),
        (" norm : rmsnorm + lr : x2 ", ["lr:x2", "norm:rmsnorm"]),
    ],
)
def test_a_plus_inside_a_value_is_part_of_the_value(text: str, changes: list[str]) -> None:
    assert [str(change) for change in parse(text).changes] == changes


def test_a_stack_is_cut_where_its_words_are_put_together() -> None:
    words = ["lr:1e+3", "set:name=a+b", "set:train.optimizer={kind: adamw, lr: 1e+0, eps: 1e-8}", "xs:made+up"]
    assert words_of(stack_of(words)) == words
    assert words_of(stack_of([stack_of(words[2:]), *words[:2]])) == words


def test_a_family_and_a_variant_may_stand_apart() -> None:
    assert parse("attention", "gqa_2kv") == parse("attention:gqa_2kv")


def test_what_changes_nothing_is_the_same_recipe(recipe: Recipe) -> None:
    for text in ("norm:layernorm", "set:name=x", "lr:x1", "norm:layernorm+attention:mha+ema:0", "set:train.ema=0"):
        result, edits = mutate(recipe, text)
        assert edits == [] and result.fingerprint == recipe.fingerprint
    assert mutate(recipe, "set:name=x")[0].name == "x"


def test_a_long_stack_has_a_name_that_fits(recipe: Recipe) -> None:
    text = "+".join(["set:data.source=file:" + "x" * 300, "lr:x2"])
    assert mutate(recipe, text)[0].name == str(parse(text))[:200]
