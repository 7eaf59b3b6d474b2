"""What every strategy promises; a new file in search/strategies/ is tested on arrival."""

from __future__ import annotations

import importlib.util
import sys
from collections import deque
from random import Random
from typing import Any

import pytest

from foundry.campaign import strategies
from foundry.campaign.strategies import Scene, Strategy, Trial
from foundry.campaign.strategies.evolve import Beliefs, Seen
from foundry.campaign.strategies.portfolio import FLOOR, Portfolio
from foundry.core.errors import RequestError
from foundry.mutate import family_of, words_of

WORDS = [f"lr:{rate}" for rate in ("3e-4", "1e-3", "3e-3", "1e-2")]
WORDS += [f"weight_decay:{decay}" for decay in ("0", "0.01", "0.1", "0.3")]
WORDS += [f"norm:{kind}" for kind in ("rmsnorm", "qknorm")] + ["attention:gqa_2kv", "position:rope", "position:alibi"]


def a_trial(word: str, gain: float | None, by: str = "x", flops: float = 1.0) -> Trial:
    status, share = ("failed", None) if gain is None else ("survived", 1.0)
    return {"word": word, "by": by, "gain": gain, "flops": flops, "status": status, "share": share}


def a_past(count: int, seed: int = 1) -> list[Trial]:
    rng = Random(seed)
    past = [a_trial(rng.choice(WORDS), rng.gauss(0, 0.02)) for _ in range(count)]
    return [*past, a_trial("norm:qknorm", None), a_trial("lr:3e-3+position:rope", 0.05)]


def made(name: str, past: list[Trial]) -> Strategy:
    strategy = strategies.make(name)
    for trial in past:
        strategy.tell(trial)
    return strategy


def scene(is_new: Any = lambda word: True, seed: int = 3) -> Scene:
    return Scene(WORDS, is_new, Random(seed))


NAMES = [name for name in strategies.names() if name not in strategies.ASKING]
"""Those that ask somebody else promise the same of what they accept: test_asking_others.py."""
PROPOSING = [name for name in NAMES if name != "outside"]


@pytest.mark.parametrize("name", PROPOSING)
@pytest.mark.parametrize("told", [0, 60])
def test_proposals_are_at_most_as_many_as_asked_for_different_new_and_made_of_the_words(name: str, told: int) -> None:
    refused = {"lr:3e-3", "norm:rmsnorm", "lr:3e-3+position:rope"}
    found = made(name, a_past(told)).ask(scene(lambda word: word not in refused), 6)
    words = [proposal.word for proposal in found]
    assert 0 < len(words) <= 6 and len(set(words)) == len(words)
    assert not refused & set(words)
    for proposal in found:
        given = words_of(proposal.word)
        assert set(given) <= set(WORDS)
        assert len({family_of(word) for word in given}) == len(given), "one variant a family"
        assert proposal.by in strategies.names() and proposal.why


@pytest.mark.parametrize("name", NAMES)
def test_the_same_past_and_seed_give_the_same_proposals(name: str) -> None:
    assert made(name, a_past(40)).ask(scene(), 5) == made(name, a_past(40)).ask(scene(), 5)


@pytest.mark.parametrize("name", NAMES)
def test_when_nothing_is_new_nothing_is_proposed(name: str) -> None:
    assert made(name, a_past(30)).ask(scene(lambda word: False), 4) == []
    assert made(name, []).ask(Scene([], lambda word: True, Random(1)), 4) == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_of_the_past_is_bounded(name: str) -> None:
    assert _size(made(name, a_past(3000))) < 2 * _size(made(name, a_past(600)))


def _size(value: Any, seen: set[int] | None = None) -> int:
    """Bytes of all that a strategy holds on to."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, (type, type(sys))):
        return 0
    seen.add(id(value))
    inside = list(value) if isinstance(value, (list, tuple, set)) or hasattr(value, "appendleft") else []
    inside += [*value.keys(), *value.values()] if isinstance(value, dict) else []
    inside += list(getattr(value, "__dict__", {}).values())
    inside += [getattr(value, slot) for slot in getattr(type(value), "__slots__", ()) if hasattr(value, slot)]
    return sys.getsizeof(value) + sum(_size(each, seen) for each in inside)


def test_a_strategy_that_isnt_there_is_named_with_the_choices() -> None:
    with pytest.raises(RequestError, match="did you mean 'evolve'"):
        strategies.make("evolv")


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_without_optuna_its_strategies_say_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(RequestError, match=r"needs the package optuna.*pip install"):
        strategies.make(name)
    assert not {"tpe", "cmaes"} & {p.by for p in strategies.make("portfolio").ask(scene(), 8)}


@pytest.mark.parametrize("name", ["evolve", "tpe"])
def test_what_gained_is_proposed_more_than_what_lost(name: str) -> None:
    past = [a_trial(word, 0.05 if word.startswith("position") else -0.05) for word in WORDS for _ in range(6)]
    strategy, count = made(name, past), {"position": 0, "norm": 0}
    for seed in range(20):
        for proposal in strategy.ask(scene(seed=seed), 1):
            for word in words_of(proposal.word):
                count[family_of(word)] = count.get(family_of(word), 0) + 1
    assert count["position"] > 2 * count["norm"]


def test_evolve_credits_the_word_that_gained_and_not_its_company() -> None:
    past = [("lr:1e-2+norm:rmsnorm", 0.1), ("lr:1e-2", 0.1), ("position:alibi", -0.1)] * 6
    seen = deque(Seen(dict.fromkeys(words_of(word), 1.0), gain, full=True) for word, gain in past)
    beliefs = Beliefs(WORDS, seen, {}, unit=0.1)
    assert beliefs.expected("lr:1e-2") > 0.08
    assert abs(beliefs.expected("norm:rmsnorm")) < 0.02
    assert beliefs.expected("position:alibi") < -0.08
    moved = Beliefs(WORDS, seen, {"lr": "lr:1e-2"}, unit=0.1)
    assert moved.expected("lr:3e-4") < -0.02, "what replaces a word that gained has its gain to make up for"


def test_evolve_goes_as_deep_as_has_paid() -> None:
    shallow, deep = "attention:gqa_2kv", "+".join((*WORDS[:9:4], "position:rope"))

    def depth(pays: str, loses: str) -> float:
        strategy = made("evolve", [a_trial(pays, 0.1), a_trial(loses, -0.1)] * 30)
        asked = [each for seed in range(200) for each in strategy.ask(scene(seed=seed), 1)]
        return sum(len(words_of(proposal.word)) for proposal in asked) / len(asked)

    assert depth(pays=deep, loses=shallow) > depth(pays=shallow, loses=deep) + 0.2


def test_cmaes_moves_towards_the_numbers_that_gained() -> None:
    past = [a_trial(word, 0.1 if word in ("lr:1e-2", "weight_decay:0.3") else -0.1) for word in WORDS[:8] * 5]
    past += [a_trial("lr:1e-2+weight_decay:0.3", 0.3) for _ in range(12)]
    strategy, words = made("cmaes", past), []
    for seed in range(20):
        words += [word for proposal in strategy.ask(scene(seed=seed), 1) for word in words_of(proposal.word)]
    assert words.count("lr:1e-2") > words.count("lr:3e-4") and words.count("weight_decay:0.3") > words.count("lr:3e-4")


def test_the_portfolio_pays_certified_gain_per_flop_and_never_forgets_anybody() -> None:
    portfolio = Portfolio(("evolve", "grid", "random"))
    for _ in range(100):
        portfolio.tell(a_trial("lr:1e-2", 9.9, by="grid", flops=4.0))  # a claim: not worth anything
        portfolio.tell(a_trial("lr:3e-4", 0.0, by="evolve", flops=1.0))
        portfolio.tell(a_trial("lr:3e-4", 0.0, by="random", flops=1.0))
    before = portfolio.shares()
    assert before["grid"] < before["evolve"] == before["random"]
    portfolio.reward("evolve", 0.05)
    after = portfolio.shares()
    assert after["evolve"] > before["evolve"] and after["random"] < before["random"]
    assert min(after.values()) >= FLOOR / 3 and sum(after.values()) == pytest.approx(1.0)
