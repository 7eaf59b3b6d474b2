"""Records the table of the proof: `python -m benchmarks.campaign.record` trains every point of the factorial.

A unit is one recipe on a block of seeds at one rung, trained as a population by the ordinary loop and scored in this
process by plain cross-entropy on the judge's windows: for built-in causal parts that is the judge's score (`live.py
--check N` trains N runs through the ordinary engine, sandboxed judging and all, and compares). Every unit is appended
in one write and synced; a unit that was cut off is trained again, and nothing that is whole is. Blocks come one after
the other, so a table that is stopped early is a complete rectangle of fewer seeds: `--pack` writes it to
results/recorded.csv.gz.

May not: judge anything that a user promotes, or write to a ledger of theirs.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import math
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.campaign.factorial import Point, label, points, recipe
from foundry.core import places
from foundry.core.files import write_atomic
from foundry.data import stream
from foundry.data.eval_split import JudgedSplit
from foundry.data.prepare import prepare
from foundry.data.prepared import Prepared
from foundry.judge.windows import cut_windows
from foundry.model import GPT, initialise
from foundry.train.device import settle
from foundry.train.loop import train
from foundry.train.population import Member, Population
from foundry.train.state import TrainState

TABLE = Path(__file__).parent / "results" / "recorded.csv.gz"
RUNGS: dict[int, tuple[str, ...]] = {4: ("validation",), 1: ("validation", "certification", "test")}
"""The full budget divided by this → the splits that such a run is scored on. Every rung is a complete run."""
BLOCK = 16  # seeds of a population: twice as fast a run as alone, and a table can end after any block
JUDGED_BYTES = 12 << 10
JUDGED_WINDOWS = 16  # a batch of judging: what the caches hold
COLUMNS = tuple(f"{split}_{rung}" for rung, splits in RUNGS.items() for split in splits)
Unit = tuple[int, Point, int]
"""Block, recipe, rung."""
Scores = dict[str, list[float]]


@cache
def data() -> Prepared:
    return prepare(recipe(points()[0]).data, lambda line: None)


@cache
def training_tokens() -> Tensor:
    return stream.open_tokens(data().train_dir)


@cache
def windows(split: str, context: int) -> tuple[Tensor, Tensor, Tensor, int]:
    """inputs, targets and which of them are real, each [N, T], and the bytes that they stand for."""
    cut = cut_windows(JudgedSplit.open(data().judge_dir, split).select(JUDGED_BYTES), context, data().vocab_size)
    return torch.from_numpy(cut.inputs), torch.from_numpy(cut.targets), torch.from_numpy(cut.real), cut.bytes


def trained(point: Point, rung: int, seeds: list[int]) -> Scores:
    """Split → bits per byte for each seed, of complete runs at the full budget / rung; nan for one that diverged."""
    of, vocab_size = recipe(point), data().vocab_size
    steps, states = of.steps(of.budget.tokens // rung), []
    for seed in seeds:
        model = GPT(of.model, vocab_size)
        initialise(model, seed)
        states.append((Member(str(seed), of.model, of.train, seed), TrainState.fresh(model, of.train)))
    population = Population.of(states)

    def batch_at(step: int) -> Tensor:
        return stream.population_batch(training_tokens(), of.model.context, of.train.batch_size, seeds, step)

    for _ in train(population, population.model, batch_at, population.rules(steps), seed=0, steps=steps):
        pass
    population.model.eval()
    return {split: _scores(population.model, *windows(split, of.model.context)) for split in RUNGS[rung]}


@torch.inference_mode()
def _scores(model: GPT, inputs: Tensor, targets: Tensor, real: Tensor, judged_bytes: int) -> list[float]:
    members = model.members or 1
    nats = torch.zeros(members, dtype=torch.float64)
    for begin in range(0, len(inputs), JUDGED_WINDOWS):
        rows = slice(begin, begin + JUDGED_WINDOWS)
        logits = model(inputs[rows].expand(members, -1, -1))
        wanted = targets[rows].expand(members, -1, -1)
        losses = F.cross_entropy(logits.flatten(0, -2), wanted.flatten(), reduction="none").view(members, -1)
        nats += (losses.double() * real[rows].flatten()).sum(1)
    return (nats / math.log(2) / judged_bytes).tolist()


def _work(unit: Unit) -> tuple[Unit, Scores]:
    block, point, rung = unit
    return unit, trained(point, rung, list(range(BLOCK * block + 1, BLOCK * (block + 1) + 1)))


def units(blocks: int) -> Iterator[Unit]:
    return ((block, point, rung) for block in range(blocks) for point in points() for rung in RUNGS)


def key(unit: Unit) -> str:
    block, point, rung = unit
    return f"{block},{label(point)},{rung}"


def read(path: Path) -> dict[str, list[list[str]]]:
    """Unit → its lines (split, score, score, ..), of all units that are whole."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    found: dict[str, list[list[str]]] = {}
    for line in lines:
        block, mutation, rung, *rest = line.split(",")
        if int(rung) in RUNGS and len(rest) == 1 + BLOCK:
            found.setdefault(f"{block},{mutation},{rung}", []).append(rest)
    return {unit: rows for unit, rows in found.items() if len(rows) == len(RUNGS[int(unit.rpartition(",")[2])])}


def record(path: Path, blocks: int, jobs: int) -> None:
    """Train what is missing, appending every unit as soon as it is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = read(path)
    write_atomic(path, "".join(f"{unit},{','.join(row)}\n" for unit, rows in whole.items() for row in rows))
    missing = [unit for unit in units(blocks) if key(unit) not in whole]
    say(f"{len(whole)} units are recorded, {len(missing)} to come")
    training_tokens()
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, initializer=settle, initargs=(torch.device("cpu"), 1)) as pool:
        for done, (unit, scores) in enumerate(pool.imap_unordered(_work, missing), 1):
            rows = [f"{key(unit)},{split},{','.join(f'{v:.6f}' for v in values)}\n" for split, values in scores.items()]
            os.write(file, "".join(rows).encode())
            os.fsync(file)
            if done % 50 == 0 or done == len(missing):
                say(f"{done} units recorded, {len(missing) - done} to come")
    os.close(file)


def pack(path: Path, table: Path) -> None:
    """The complete rectangle of what is recorded, a row for each recipe and seed, scores to five decimals."""
    whole = read(path)
    count = Counter(int(unit.partition(",")[0]) for unit in whole)
    blocks = [block for block, units in sorted(count.items()) if units == len(points()) * len(RUNGS)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["recipe", "seed", *COLUMNS])
    for point in points():
        for block in blocks:
            rows = {f"{split}_{rung}": values for rung in RUNGS for split, *values in whole[key((block, point, rung))]}
            for i in range(BLOCK):
                scores = [f"{float(rows[column][i]):.5f}" for column in COLUMNS]
                writer.writerow([label(point), BLOCK * block + i + 1, *scores])
    table.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(table, gzip.compress(text.getvalue().encode(), mtime=0))
    say(f"{len(points())} recipes × {BLOCK * len(blocks)} seeds × {len(RUNGS)} rungs in {table}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=6, help=f"blocks of {BLOCK} seeds")
    parser.add_argument(
        "--rows", type=Path, default=places.runs() / "campaign-recorded.csv", help="what is appended to"
    )
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--pack", action="store_true", help="write the table of what is recorded, and end")
    options = parser.parse_args(arguments)
    if not options.pack:
        record(options.rows, options.blocks, options.jobs)
    pack(options.rows, options.table)
    return 0


def say(line: Any) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
