"""Which runs train together: waiting runs of one shape are put into processes as a measurement on the device says.

On a processor one run a process is usually ahead, on an accelerator wide populations are; nobody guesses. What was
measured is kept in the cache, by shape and device, until the pace of a run contradicts it: something else had the
machine while one of the two was timed. May not: start anything, know the ledger.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar, final

import torch

from foundry.core import places
from foundry.core.files import write_json
from foundry.core.fingerprint import fingerprint
from foundry.core.section import validate
from foundry.execute.executor import Ended, Event, Progress
from foundry.model import ModelConfig
from foundry.train.code import training_code
from foundry.train.config import TrainConfig
from foundry.train.device import hardware
from foundry.train.population import shape_of
from foundry.train.throughput import FALLEN
from foundry.train.worker import pack

TRAIN, TOGETHER, MEASURE = (
    "foundry.train.worker:main",
    "foundry.train.worker:together",
    "foundry.train.throughput:main",
)
WORTH_STEPS = {"cpu": 2000, "cuda": 200}
"""Steps a process has before it, in all its runs, from which on a measurement of about 50 of them pays."""
MARGIN = 1.03
"""A population must be so much faster: runs of their own start sooner and fail alone."""
WIDEST = 128
CONTRADICTED = 1.5
"""How many times faster or slower than measured a run must be to have it measured again; the square of it for a third
time, and so on: a machine that is busy now and then isn't measured for ever."""

Pace = tuple[str, float]
"""Where a measurement is kept, and the members' steps a second that it promises."""

T = TypeVar("T")


@dataclass(frozen=True)
class Order(Generic[T]):
    """One task for the pool: train `items` (several: as a population), or measure (none)."""

    id: str
    target: str
    payload: dict[str, Any]
    items: tuple[T, ...] = ()
    pace: Pace | None = None


@dataclass(frozen=True)
class _Waiting(Generic[T]):
    """A run that waits: its task's id and payload where it trains by itself."""

    item: T
    id: str
    payload: dict[str, Any]


@dataclass
class _Measuring:
    """A measurement under way, in as many processes at once as will train."""

    open: set[str]
    rates: list[dict[int, float]]


@final
class PopulationPacker(Generic[T]):
    """Takes runs that wait for training (`put`), gives tasks (`orders`), reads these tasks' events (`parts`)."""

    def __init__(self, jobs: int, device: str) -> None:
        """jobs: processes at once; device: cpu, cuda or mps."""
        self.jobs, self.device = jobs, device
        self._alone: list[_Waiting[T]] = []
        self._groups: dict[tuple[str, str], list[_Waiting[T]]] = defaultdict(list)
        self._training: dict[str, list[_Waiting[T]]] = {}
        self._measuring: dict[str, _Measuring] = {}
        self._serial = 0

    @property
    def open(self) -> list[str]:
        """Ids of the tasks that were given, haven't ended, and aren't one run's."""
        return [*self._training, *(id for measuring in self._measuring.values() for id in measuring.open)]

    def put(self, item: T, id: str, payload: dict[str, Any], alone: bool = False) -> None:
        """A run wants to be trained: the task's id and payload where it trains by itself; `alone` says that it must."""
        keys = None if alone else shape_keys(payload)
        (self._alone if keys is None else self._groups[keys]).append(_Waiting(item, id, payload))

    def orders(self) -> list[Order[T]]:
        """Tasks for all that waits and needn't wait for a measurement."""
        orders = [_single(one) for one in self._alone]
        self._alone.clear()
        for keys, group in list(self._groups.items()):
            pace = keys[1]
            most = min(math.ceil(len(group) / self.jobs), WIDEST)
            width = 1 if most == 1 or not self._worth_measuring(group) else self._width(pace, group, most)
            if width is None:
                key = self._key(pace, group)
                orders += [] if key in self._measuring else self._measure(key, group[:most])
            else:
                key = self._key(pace, group)
                promised = (_recorded(key) or {}).get(width)
                given = self._arranged(self._groups.pop(keys), width)
                orders += [replace(each, pace=(key, promised) if promised else None) for each in given]
        return orders

    def parts(self, event: Event) -> list[tuple[T, Event]]:
        """What an event of one of the tasks in `open` is for each of its runs; nothing for another's.

        The members of a population that failed as a whole, which says nothing of any of them, wait again, alone.
        """
        if isinstance(event, Ended):
            self._measured(event)
            return self._ended(event, self._training.pop(event.id, []))
        members = self._training.get(event.id, [])
        if not isinstance(event, Progress):
            return [(member.item, event) for member in members]
        if "note" in event.facts:  # names the folder that it is about
            return [(members[0].item, event)] if members else []
        losses = event.facts.get("losses", ())
        pairs = zip(members, losses, strict=False)
        return [(member.item, Progress(member.id, {**event.facts, "loss": loss})) for member, loss in pairs]

    def forget(self) -> None:
        """Nothing waits or is under way any more."""
        self._alone.clear()
        self._groups.clear()
        self._training.clear()
        self._measuring.clear()

    def _ended(self, event: Ended, members: Sequence[_Waiting[T]]) -> list[tuple[T, Event]]:
        if event.reason not in (None, "lost"):
            self._alone += members
            return []
        results = (event.result or {}).get("members") or [None] * len(members)
        return [(member.item, _end_of(event, member.id, own)) for member, own in zip(members, results, strict=True)]

    def _measured(self, event: Ended) -> None:
        for key, measuring in list(self._measuring.items()):
            if event.id in measuring.open:
                measuring.open.remove(event.id)
                if event.result is not None:
                    measuring.rates.append({int(width): rate for width, rate in event.result["rates"].items()})
                if not measuring.open:
                    _record(key, measuring.rates)
                    del self._measuring[key]

    def _worth_measuring(self, group: Sequence[_Waiting[T]]) -> bool:
        steps = sum(waiting.payload["steps"] for waiting in group)
        return steps >= self.jobs * WORTH_STEPS.get(self.device.partition(":")[0], math.inf)

    def _width(self, pace: str, group: Sequence[_Waiting[T]], most: int) -> int | None:
        """How wide populations of the group are to be; None when it must be measured."""
        rates = _recorded(self._key(pace, group))
        return best_width(rates, most) if rates is not None and _answers(rates, most) else None

    def _arranged(self, group: Sequence[_Waiting[T]], width: int) -> list[Order[T]]:
        """The group in populations of about that width, an equal number for each process."""
        if width == 1:
            return [_single(one) for one in group]
        count = math.ceil(len(group) / (width * self.jobs)) * self.jobs
        parts = [group[i * len(group) // count : (i + 1) * len(group) // count] for i in range(count)]
        return [self._together(part) if len(part) > 1 else _single(part[0]) for part in parts if part]

    def _together(self, part: Sequence[_Waiting[T]]) -> Order[T]:
        self._serial += 1
        order = Order(f"together-{self._serial}", TOGETHER, pack([one.payload for one in part]), _items(part))
        self._training[order.id] = list(part)
        return order

    def _measure(self, key: str, group: Sequence[_Waiting[T]]) -> list[Order[T]]:
        """As many measurements at once as processes will train: then, too, they share caches and memory."""
        self._serial += 1
        widths = [4**i for i in range(10) if 4**i < len(group)] + [len(group)]
        payload = {"jobs": pack([waiting.payload for waiting in group]), "widths": widths}
        ids = [f"measure-{self._serial}-{i}" for i in range(self.jobs)]
        self._measuring[key] = _Measuring(set(ids), [])
        return [Order(id, MEASURE, payload) for id in ids]

    def _key(self, pace: str, group: Sequence[_Waiting[T]]) -> str:
        ways = {json.dumps(waiting.payload["train"], sort_keys=True) for waiting in group}
        alike = len(ways) == 1  # members that train in other ways than their neighbours cost a little
        return fingerprint([pace, alike, self.jobs, hardware(self.device), torch.__version__])


def shape_keys(payload: Mapping[str, Any]) -> tuple[str, str] | None:
    """Of a payload of `train.worker.main`: what is equal for those that can train as one, and for those that are
    equally fast. None for one that trains alone."""
    shape = _shape(json.dumps(payload["model"], sort_keys=True), json.dumps(payload["train"], sort_keys=True))
    if shape is None:
        return None
    pace = fingerprint([shape, payload["vocab_size"], payload["threads"], training_code(dict(payload))])
    return fingerprint([pace, payload["steps"], payload["train_dir"], payload["device"]]), pace


def contradict(pace: Pace, result: Mapping[str, Any]) -> None:
    """Have measured again what a run that has ended wasn't as fast, or as slow, as."""
    key, promised = pace
    kept = _kept(key)
    if kept is not None and result["seconds"] > 0 and result["steps"] > 0:
        ratio = result["steps"] / result["seconds"] / promised
        if max(ratio, 1 / ratio) > CONTRADICTED ** kept.get("times", 1):
            write_json(_record_path(key), {**kept, "in_doubt": True})


def best_width(rates: Mapping[int, float], most: int) -> int:
    """The width with the highest rate among those up to `most`; 1 unless another is faster by the margin."""
    able = {width: rate for width, rate in rates.items() if width <= most}
    best = max(able, key=lambda width: able[width])
    return best if able[best] > MARGIN * able.get(1, 0.0) else 1


def _answers(rates: Mapping[int, float], most: int) -> bool:
    """Whether wider populations than those measured are out of the question, or can't be formed."""
    widest = max(rates)
    return widest >= most or rates[widest] < FALLEN * max(rates.values())


@lru_cache(maxsize=256)  # a key is the text of two sections, 2 KB
def _shape(model: str, train: str) -> str | None:
    shape = shape_of(
        validate(ModelConfig, json.loads(model), "model"), validate(TrainConfig, json.loads(train), "train")
    )
    return None if shape is None else fingerprint(shape)


def _single(waiting: _Waiting[T]) -> Order[T]:
    return Order(waiting.id, TRAIN, waiting.payload, (waiting.item,))


def _items(waiting: Sequence[_Waiting[T]]) -> tuple[T, ...]:
    return tuple(one.item for one in waiting)


def _end_of(event: Ended, id: str, result: dict[str, Any] | None) -> Ended:
    """One member's end, from its population's."""
    if result is not None and result["status"] == "failed":
        return replace(event, id=id, result=None, reason=result["reason"], detail=result["detail"])
    return replace(event, id=id, result=result)


def _record_path(key: str) -> Path:
    return places.cache() / "arrangements" / f"{key}.json"


def _kept(key: str) -> dict[str, Any] | None:
    try:
        kept = json.loads(_record_path(key).read_text())
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None


def _recorded(key: str) -> dict[int, float] | None:
    """Rates by width; None where there is no measurement, or one in doubt."""
    kept = _kept(key) or {}
    try:
        rates = {int(width): float(rate) for width, rate in kept["rates"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return rates if 1 in rates and not kept.get("in_doubt") else None


def _record(key: str, measured: Sequence[Mapping[int, float]]) -> None:
    """Keep the mean of the processes' rates, of widths that all have measured. Nothing measured: one run a process."""
    widths = set.intersection(*(set(rates) for rates in measured)) if measured else set()
    rates = {str(width): sum(one[width] for one in measured) / len(measured) for width in sorted(widths)}
    times = (_kept(key) or {}).get("times", 0) + 1
    write_json(_record_path(key), {"rates": rates or {"1": 0.0, str(WIDEST): 0.0}, "times": times})
