"""What is believed of recipes, on scores whose truth is known, and what the search makes of it."""

from __future__ import annotations

from random import Random
from statistics import fmean

from foundry.campaign.belief import Address, Belief, Observation, changed, difference
from foundry.campaign.policy import Policy
from foundry.campaign.search import Search, Stack, believe
from foundry.campaign.state import State, folded

FAMILIES = "abcdef"
EFFECTS = {f"{name}:{i}": sign * 0.01 * (j + 1) for j, name in enumerate(FAMILIES) for i, sign in (("x", -1), ("y", 1))}
NOISE_BPB = 0.02


def truth(address: Address) -> float:
    return 3.0 - sum(EFFECTS[word] for word in address)


def drawn(rng: Random) -> Address:
    names = sorted(rng.sample(FAMILIES, rng.randint(0, 3)))
    return tuple(f"{name}:{rng.choice('xy')}" for name in names)


def observed(n: int, seed: int = 0, shift: float = 0.0) -> list[Observation]:
    """Four recipes a seed; `shift` is what every third seed adds to all of its scores."""
    rng = Random(seed)
    found = []
    for i in range(n):
        score = truth(address := drawn(rng)) + rng.gauss(0.0, NOISE_BPB) + shift * (i // 4 % 3 == 0)
        found.append(Observation(address, i // 4, score))
    return found


def errors(observations: list[Observation]) -> tuple[float, float]:
    """Root mean square of what is believed of the differences between unseen recipes, less the truth: in bits per byte,
    and in standard errors."""
    rng, belief = Random(99), Belief(observations, len(FAMILIES))
    addresses = sorted({drawn(rng) for _ in range(60)})
    mean, cov = belief.of(addresses)
    off, scaled = [], []
    for i, j in zip(range(len(addresses)), range(1, len(addresses)), strict=False):
        wrong = (mean[i] - mean[j]) - (truth(addresses[i]) - truth(addresses[j]))
        off.append(wrong**2)
        scaled.append(wrong**2 / (cov[i, i] + cov[j, j] - 2 * cov[i, j]))
    return fmean(off) ** 0.5, fmean(scaled) ** 0.5


def test_recipes_that_were_never_run_are_known_by_those_that_were_and_by_how_much() -> None:
    off, scaled = errors(observed(80))
    assert off < 1.3 * NOISE_BPB and 0.5 < scaled < 1.5
    shuffled = observed(80)
    scores = [each.bpb for each in shuffled]
    Random(1).shuffle(scores)
    lost, _ = errors([Observation(o.address, o.seed, bpb) for o, bpb in zip(shuffled, scores, strict=True)])
    assert lost > 2 * off, "else it says nothing of the scores"


def test_what_a_seed_does_to_all_alike_is_told_from_what_recipes_do() -> None:
    off, _ = errors(observed(80, shift=0.2))
    assert off < 2.0 * NOISE_BPB
    apart = [Observation(each.address, i, each.bpb) for i, each in enumerate(observed(80, shift=0.2))]
    assert errors(apart)[0] > 1.3 * off, "the control, in which no two runs share a seed"


def test_numbers_are_alike_by_their_ratio_and_words_are_not() -> None:
    known = [Observation((), 1, 3.0), Observation(("lr:0.01",), 1, 2.8), Observation(("norm:a",), 1, 2.8)]
    mean, _ = Belief(known, 2).of([("lr:0.012",), ("lr:0.0001",), ("norm:b",)])
    assert mean[0] < mean[1] < mean[2] + 0.02
    assert mean[1] - mean[0] > 2 * abs(mean[1] - mean[2])


def test_a_failure_counts_as_worse_than_the_worst() -> None:
    known = [Observation((), 1, 3.0), Observation(("a:y",), 1, 3.1), Observation(("b:y",), 1, None)]
    mean, _ = Belief(known, 2).of([("a:y",), ("b:y",)])
    assert mean[1] > mean[0]


def test_an_address_is_what_words_lead_to_and_words_lead_from_one_to_another() -> None:
    rng = Random(3)
    for _ in range(200):
        base, word = drawn(rng), "+".join(drawn(rng)) or "a:y"
        after = changed(base, word)
        leads = difference(base, after)
        assert leads is not None and (changed(base, leads) if leads else base) == after
        assert [word.partition(":")[0] for word in after] == sorted({word.partition(":")[0] for word in after})
    assert difference(("a:y",), ("b:y",)) is None, "no word takes another back"


def state_of(observations: list[Observation], frontier: str = "") -> State:
    """A campaign's, in which points are addresses spelled out."""
    state = folded([{"kind": "opened", "champion": "", "asked": {}}])
    for each in observations:
        point = "+".join(each.address)
        state.known.setdefault(point, (each.address, "grid"))
        state.points.setdefault(each.address, point)
        state.observe(point, each.seed, each.bpb)
    state.frontier = frontier
    return state


def look(state: State, policy: Policy | None = None, seed: int = 0) -> Search:
    policy = policy or Policy()
    return Search(state, believe(state, list(EFFECTS), policy), list(EFFECTS), policy, Random(seed))


def test_the_frontier_moves_for_a_gain_that_is_believed_and_not_for_less() -> None:
    noise = [Observation(address, seed, 3.0 + 0.001 * seed) for seed in range(4) for address in ((), ("a:y",))]
    assert look(state_of(noise)).frontier()[0] == ""
    gain = [Observation(each.address, each.seed, (each.bpb or 0.0) - 0.1 * len(each.address)) for each in noise]
    point, claimed = look(state_of(gain)).frontier()
    assert point == "a:y" and 0.05 < claimed < 0.11
    failed = [*gain, Observation(("a:y",), 9, None)]
    assert look(state_of(failed, "a:y")).frontier() == ("", 0.0), "what has failed once isn't held"


def test_draws_ask_for_what_may_be_best_and_for_the_best_again() -> None:
    state = state_of([*observed(40), Observation((), 50, 3.0)])
    searched = look(state)
    stacks = searched.stacks()
    assert stacks and all(stack.address not in state.points for stack in stacks)
    wanted = list(searched.wanted(stacks))
    new = [each for each in wanted if isinstance(each, Stack)]
    assert new, "what is new"
    asked = fmean(truth(each.address if isinstance(each, Stack) else state.known[each][0]) for each in wanted)
    assert asked < fmean(truth(stack.address) for stack in stacks) - 0.02
    best = tuple(f"{name}:y" for name in FAMILIES)
    known = look(
        state_of([*observed(40), Observation((), 50, 3.0), *(Observation(best, i, truth(best)) for i in (51, 52))])
    )
    assert "+".join(best) in list(known.wanted(known.stacks())), "what is tried and best"
    again = look(state)
    assert list(again.wanted(again.stacks())) == wanted, "a killed campaign asks for the same"


def test_little_is_expected_to_be_found_yet_once_the_best_is_known() -> None:
    def regret(*more: Address) -> float:
        known = [Observation((), 999, 3.0), *observed(80)]
        rng = Random(5)
        known += [
            Observation(each, 1000 + i, truth(each) + rng.gauss(0.0, NOISE_BPB)) for i in range(4) for each in more
        ]
        state = state_of(known)
        state.frontier = look(state).frontier()[0]
        searched = look(state)
        return searched.regret(searched.stacks())

    best = tuple(f"{name}:y" for name in FAMILIES)
    assert regret((), best) < 0.5 * regret((), best[:3])
