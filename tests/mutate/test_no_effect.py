"""A word that changes no run is no candidate: alone, in a stack, through a default or because of what is around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from foundry import model
from foundry.campaign.live_environment import LiveEnvironment
from foundry.core import yaml_io
from foundry.core.errors import RequestError
from foundry.mutate import mutate
from foundry.mutate.families import FAMILIES
from foundry.promote.promote import settle
from foundry.promote.sweep import SweepPlan, sweep
from foundry.recipe import Recipe
from foundry.recipe.effective import effective
from foundry.train.loop import train
from foundry.train.state import TrainState
from tests.home import ROOT, small_lab, write_tiny

BASELINE = Path("experiments/baseline.yaml")
TEXT_IS_SEEN_LATER = ("data", "tokenizer", "set")
WORDS = [f"{f.name}:{v}" for f in FAMILIES.values() for v in f.named() if f.name not in TEXT_IS_SEEN_LATER]
VOCABULARY, STEPS = 11, 2


def small(name: str, **changes: Any) -> Recipe:
    """A shipped recipe, so small that a step takes milliseconds."""
    values = yaml_io.load(ROOT / "experiments" / f"{name}.yaml")
    values["model"] |= {"width": 32, "context": 16, "layers": 2}
    values["train"] |= {"batch_size": 4}
    values["budget"] |= {"tokens": 64 * 240}
    for dotted, value in changes.items():
        section, _, key = dotted.rpartition("__")
        holder = values
        for part in section.split("__"):
            holder = holder[part]
        holder[key] = value
    return Recipe.from_dict(values)


def felt(recipe: Recipe) -> Any:
    """What some steps make of the weights that are judged, to the bit, and what a longer run would show."""
    torch.set_num_threads(1)
    gpt, config = model.build(recipe.model, VOCABULARY), recipe.train
    model.initialise(gpt, seed=1)
    state = TrainState.fresh(gpt, config)

    def batch(step: int) -> torch.Tensor:
        shape, chance = (config.batch_size, recipe.model.context + 1), torch.Generator().manual_seed(step)
        return torch.randint(VOCABULARY, shape, generator=chance)

    rates: Sequence[float] = [config.schedule.share(step, recipe.steps()) for step in range(recipe.steps())]
    losses = [fact.loss.item() for fact in _first(train(state, gpt, batch, config, seed=1, steps=recipe.steps()))]
    judged = {name: tensor.tolist() for name, tensor in state.judged().items()}
    return losses, judged, rates, config.grad_clip, gpt(batch(0)[:, :-1]).tolist()


def _first(facts: Any) -> list[Any]:
    return [next(facts) for _ in range(STEPS)]


@pytest.mark.parametrize("name", ["baseline", "modern"])
def test_every_word_of_every_family_changes_what_is_trained_or_is_refused(name: str) -> None:
    base = small(name)
    before, refused, fits = felt(base), [], 0
    for word in WORDS:
        try:
            made, edits = mutate(base, word)
        except RequestError as error:
            refused += [word] if error.code == "mutate.no_effect" else []
            continue
        assert bool(edits) == (felt(made) != before) == (effective(made) != effective(base)), word
        fits += bool(edits)
    assert refused == ["attention:sliding"] and fits > 60, "its window is longer than this context"


@pytest.mark.parametrize(
    ("changes", "plain"),
    [
        ({"model__attention": {"kind": "sliding", "heads": 4, "window": 16}}, {}),
        ({"model__attention": {"kind": "sliding", "heads": 4, "window": 2, "full_every": 1}}, {}),
        ({"model__values": "residual", "model__layers": 1}, {"model__layers": 1}),
        ({"train__schedule": {"kind": "linear", "floor": 1.0}}, {"train__schedule": "constant"}),
        ({"train__schedule__warmup": 0.0501}, {}),
    ],
)
def test_what_is_held_to_be_alike_trains_alike_to_the_bit(changes: dict[str, Any], plain: dict[str, Any]) -> None:
    one, other = small("baseline", **changes), small("baseline", **plain)
    assert effective(one) == effective(other) and one.fingerprint != other.fingerprint
    assert felt(one)[:3] == felt(other)[:3]


def test_the_control_feels_a_window_that_is_one_token_shorter() -> None:
    one = small("baseline", model__attention={"kind": "sliding", "heads": 4, "window": 15})
    assert effective(one) != effective(small("baseline")) and felt(one) != felt(small("baseline"))


@pytest.mark.parametrize(
    ("stack", "idle"),
    [
        ("lr:2e-3+weight_decay:0.1", "weight_decay:0.1"),
        ("dropout:0+lr:2e-3", "dropout:0"),
        ("attention:sliding+lr:2e-3", "attention:sliding"),
        ("attention:mha+norm:rmsnorm", "attention:mha"),
        ("set:train.loss={kind: focal, gamma: 0.0}+lr:2e-3", "set:train.loss={kind: focal, gamma: 0.0}"),
        ("set:model.layers=2+lr:2e-3", "set:model.layers=2"),
    ],
)
def test_a_stack_with_a_word_that_does_nothing_is_refused_by_that_words_name(stack: str, idle: str) -> None:
    with pytest.raises(RequestError) as refused:
        mutate(small("baseline"), stack)
    assert (refused.value.code, refused.value.got) == ("mutate.no_effect", idle)


def test_a_word_that_counts_beside_another_and_a_label_are_no_idle_ones() -> None:
    assert mutate(small("baseline"), "attention:sliding+set:model.context=64")[1]
    assert mutate(small("baseline"), "lr:2e-3+set:name=faster")[0].name == "faster"


def test_what_only_the_text_or_the_match_shows_is_refused_before_it_trains(home: Path) -> None:
    """A filter that drops nothing, and a budget, which is matched: alone and in stacks, in sweeps and campaigns."""
    Path("all.jsonl").write_text("".join(f'{{"text": "one text of many, number {i}"}}\n' for i in range(200)))
    write_tiny(BASELINE, data__source="file:all.jsonl")
    words = ("data:dedupe", "lr:1e-6+data:drop_long", "set:budget.tokens=1280", "data:min_bytes=28")
    with small_lab() as lab:
        document = sweep(lab, BASELINE, SweepPlan(words, seeds=1), lambda *pair: None)
        field = LiveEnvironment(lab, settle(lab.ledger, BASELINE), None)
        for word in words[:3]:
            with pytest.raises(RequestError, match=r"mutate\.no_effect"):
                field.apply(field.champion, word)
    rows = {row["mutation"]: row for row in document["candidates"]}
    assert [rows[word]["status"] for word in words] == ["failed", "failed", "failed", "done"]
    assert "data:drop_long: changes no run" in rows[words[1]]["detail"]
