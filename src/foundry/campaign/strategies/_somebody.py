"""A strategy that asks somebody else, a command or a model, for ideas, and believes none of them.

The question is one JSON document: the frontier's recipe, the words to choose from, the last trials as numbers, and why
ideas were refused before. An idea is a word or a stack of them, of those to choose from and new, or it is refused with
the parser's own error. After three tries without one that holds, another strategy fills the round, and the record says
so. May not: let anybody touch a file, a run or a rule; put others' text into a question outside of its frame.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, final

from foundry.campaign import kept_answers, strategies
from foundry.campaign.strategies import Ask, Asked, Proposal, Scene, Strategy, Trial
from foundry.core import untrusted
from foundry.core.errors import REASONS, FoundryError, RequestError
from foundry.documents.failure import Failure
from foundry.mutate import family_of, stack_of, words_of

TRIES = 3
TOLD_TRIALS = 40
MOST_IDEAS = 32
"""Of one answer that are looked at."""
MOST_WORD, MOST_WHY = 300, 300
"""Characters of an idea that are looked at, and kept."""
FALLBACK = "evolve"


class NoAnswer(Exception):
    """Nothing usable came back, and why; `said`: what came."""

    def __init__(self, why: str, said: str = "", tokens: int = 0) -> None:
        super().__init__(why)
        self.said, self.tokens = said, tokens


class Answer(NamedTuple):
    """said: as it came; ideas: (word, why), unchecked; tokens: what it took, where that is counted."""

    said: str
    ideas: Sequence[tuple[str, str]]
    tokens: int = 0


@final
class Somebody(Strategy):
    """put: gives a question and returns the answer, or raises NoAnswer; most: requests and tokens that a command of
    the campaign may take."""

    def __init__(self, name: str, by: str, whom: Ask, put: Callable[[str], Answer], most: tuple[float, float]) -> None:
        self.name, self.by, self.whom, self._put, self._most = name, by, whom, put, most
        self._fallback = strategies.make(FALLBACK)
        self._told: deque[dict[str, Any]] = deque(maxlen=TOLD_TRIALS)
        self._requests, self._tokens = 0, 0

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        if not scene.words:
            return []
        question = {"n": n, "frontier": untrusted.data(scene.recipe()), "words": untrusted.data(scene.words)}
        question |= {"trials": list(self._told), "refused": []}
        found, self.asked = self._known(question, scene, n) or self._asked(question, scene, n)
        if found:
            return found
        self.asked["filled_by"] = FALLBACK
        instead = f"{self.by} had no idea that holds"
        return [replace(each, why=f"{each.why}; {instead}") for each in self._fallback.ask(scene, n)]

    def _known(self, question: dict[str, Any], scene: Scene, n: int) -> tuple[list[Proposal], Asked] | None:
        """The answer that this very question had, of a campaign that was killed before it said so."""
        kept = kept_answers.find(self.by, question)
        if kept is None:
            return None
        found, _ = self._checked([(each["word"], each["why"]) for each in kept["ideas"]], scene, n)
        return (found, kept["asked"]) if found else None

    def _asked(self, question: dict[str, Any], scene: Scene, n: int) -> tuple[list[Proposal], Asked]:
        asked: Asked = {"by": self.by, "tries": 0, "requests": 0, "tokens": 0, "failed": [], "refused": []}
        asked["filled_by"] = None
        found: list[Proposal] = []
        said: list[str] = []
        refused: list[dict[str, Any]] = []
        while not found and asked["tries"] < TRIES:
            if self._requests + asked["requests"] >= self._most[0] or self._tokens + asked["tokens"] >= self._most[1]:
                asked["failed"].append("what it may be asked is spent")
                break
            asked["tries"] += 1
            asked["requests"] += 1
            try:
                answer = self._put(json.dumps({**question, "refused": refused[-MOST_IDEAS:]}))
            except NoAnswer as error:
                answer = Answer(error.said, (), error.tokens)
                asked["failed"].append(str(error)[:MOST_WHY])
            said.append(answer.said)
            asked["tokens"] += answer.tokens
            found, errors = self._checked(answer.ideas, scene, n)
            refused += [{"word": untrusted.word(word), **Failure.of(error).to_dict()} for word, error in errors]
            asked["refused"] += [{"word": word, "code": error.code, "why": str(error)} for word, error in errors]
            if not answer.ideas and len(asked["failed"]) < asked["tries"]:
                asked["failed"].append("it had no idea")
        ideas = [{"word": each.word, "why": each.why} for each in found]
        kept_answers.keep(self.by, question, {"said": said, "ideas": ideas, "asked": asked})
        return found, asked

    def _checked(
        self, ideas: Sequence[tuple[str, str]], scene: Scene, n: int
    ) -> tuple[list[Proposal], list[tuple[str, FoundryError]]]:
        """Those that hold, at most `n`, and why the others don't."""
        found: dict[str, Proposal] = {}
        refused: list[tuple[str, FoundryError]] = []
        for word, why in list(ideas)[:MOST_IDEAS]:
            if len(found) == n:
                break
            stack = stack_of([word[:MOST_WORD].strip()])
            error = _refusal(stack, scene, found)
            if error is None:
                found[stack] = Proposal(stack, self.by, why[:MOST_WHY] or "an idea")
            else:
                refused.append((stack, error))
        return list(found.values()), refused

    def tell(self, trial: Trial) -> None:
        self._fallback.tell(trial)
        reason = str(trial["reason"]).partition(":")[0]
        gain = trial["gain"]
        self._told.append(
            {
                "mutation": untrusted.word(trial["word"]),
                "status": trial["status"],
                "reason": reason if reason in REASONS else None,
                "gain_bpb": None if gain is None else round(gain, 6),
                "flops": trial["flops"],
            }
        )

    def reward(self, by: str, gain: float) -> None:
        self._fallback.reward(by, gain)

    def recall(self, asked: Asked | None) -> None:
        self._requests = self._requests + asked["requests"] if asked else 0
        self._tokens = self._tokens + asked["tokens"] if asked else 0


def _refusal(stack: str, scene: Scene, found: dict[str, Proposal]) -> FoundryError | None:
    offered = set(scene.words)
    families = {family_of(word) for word in offered}
    for word in words_of(stack):
        if word not in offered:
            of_family = [each for each in scene.words if family_of(each) == family_of(word)]
            message = "none of the words to choose from"
            return RequestError("ask.no_such_word", "word", message, got=word, choices=of_family or sorted(families))
    error = scene.refusal(stack)
    if error is None and (stack in found or not scene.is_new(stack)):
        return RequestError("ask.not_new", "word", "it was tried already, or changes nothing", got=stack)
    return error
