"""Attacks on the machine and on the metric: each in a run of the real engine, at each sandbox tier, and shown to the
plain evaluator. May not: let an attack near anything but what is planted for it."""

from __future__ import annotations

import importlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cheats import plain
from benchmarks.cheats.catalogue import ATTACKS
from benchmarks.cheats.scene import scene
from foundry.compare.match import Arm
from foundry.compare.session import Lab, Settings
from foundry.core import yaml_io
from foundry.execute.result import Limits, RunResult
from foundry.ledger.ledger import ledger_path
from foundry.ledger.weights import run_folder
from foundry.recipe import Recipe
from tests.home import write_tiny

JUDGED_BYTES = 2048
WALL_SECONDS, STALL_SECONDS, MEMORY_BYTES = 90.0, 15.0, 1 << 30
PLAIN_SECONDS = 15.0
HARMFUL_WITHOUT_A_SANDBOX = "kills_its_parent"
"""Without a sandbox it would kill what the other attacks run under; each tier above is tried with it."""


@dataclass
class Outcome:
    """One attack at one tier. status: the run's; harm: what it did."""

    name: str
    tier: str
    status: str = ""
    bpb: float | None = None
    honest_bpb: float = 0.0
    harm: list[str] = field(default_factory=list)

    @property
    def contained(self) -> bool:
        """Nothing was harmed, and it got no score but an honest one (or more bits)."""
        return not self.harm and (self.bpb is None or self.bpb > self.honest_bpb - 0.01)


def names() -> list[str]:
    files = [*ATTACKS.glob("acts/*.py"), *ATTACKS.glob("modules/attention/*.py")]
    return [*sorted(file.stem for file in files), "unnormalised"]


def lay_out(workspace: Path) -> Path:
    """A workspace of all attacks: the whole ones as they are, each act below the carrier."""
    shutil.copytree(ATTACKS, workspace, ignore=shutil.ignore_patterns("acts", "carrier.py", "__pycache__"))
    carrier = (ATTACKS / "carrier.py").read_text()
    for act in ATTACKS.glob("acts/*.py"):
        text = act.read_text().replace("from __future__ import annotations\n", "")  # the carrier has it, at the top
        (workspace / "modules" / "attention" / act.name).write_text(f"{carrier}\n\n{text}")
    return workspace


@contextmanager
def home(folder: Path) -> Iterator[Path]:
    """A working directory with a tiny baseline and the attacks for a workspace."""
    before, environment = Path.cwd(), dict(os.environ)
    folder.mkdir(parents=True)
    os.chdir(folder)
    os.environ["FOUNDRY_WORKSPACE"] = str(lay_out(folder / "workspace"))
    try:
        write_tiny(folder / "baseline.yaml")
        yield folder
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(environment)


def recipe(folder: Path, name: str, target: str) -> Recipe:
    values = yaml_io.load(folder / "baseline.yaml")
    if name == "unnormalised":
        values["model"]["code"] = name
    else:
        heads = {key: values["model"]["attention"][key] for key in ("heads", "kv_heads")}
        values["model"]["attention"] = {"kind": name, "target": target, **heads}
    return Recipe.from_dict({**values, "name": name})


def tried(folder: Path, tier: str, attacks: list[str]) -> Iterator[Outcome]:
    """Each attack as a run under `tier`, and an honest run first."""
    with home(folder) as place:
        os.environ["PLANTED_SECRET"] = "planted-before-the-workers-start"
        limits = Limits(WALL_SECONDS, STALL_SECONDS, MEMORY_BYTES)
        settings = Settings(jobs=2, device="cpu", judged_bytes=JUDGED_BYTES, limits=limits)
        with Lab(settings) as lab:
            lab.engine.guard.tier = tier
            honest_recipe = Recipe.load(place / "baseline.yaml")
            honest = lab.gather([(lab.arm_of(honest_recipe), 1)])[0]
            assert honest.bpb is not None, honest
            judged = lab.data(honest_recipe).judge_dir / "validation.bin"
            for number, name in enumerate(attacks):
                with scene(place / f"scene{number}", ledger_path().absolute(), judged, _weights(honest)) as made:
                    yield _one(lab, place, name, tier, honest.bpb, made)


def _one(lab: Lab, place: Path, name: str, tier: str, honest_bpb: float, made: Any) -> Outcome:
    outcome = Outcome(name, tier, honest_bpb=honest_bpb)
    started = time.monotonic()
    try:
        arm = lab.arm_of(recipe(place, name, made.targets.get(name, "")))
        result = lab.gather([(arm, 1)])[0]
    except Exception as error:  # refused before it ran: its code doesn't even build
        outcome.status = str(error)
    else:
        outcome.bpb, outcome.status = result.bpb, result.reason or result.status
        stored = lab.ledger.runs.score(result.id, "validation", lab.engine.protocol)
        outcome.bpb = stored["bpb"] if stored is not None else None
        outcome.harm += _on_the_record(lab, result, honest_bpb)
    if time.monotonic() - started > WALL_SECONDS + STALL_SECONDS + 10:
        outcome.harm.append("outlived its deadline")
    outcome.harm += made.harm([place / "runs"])
    return outcome


def _on_the_record(lab: Lab, result: RunResult, honest_bpb: float) -> list[str]:
    """What stands in the ledger and should not."""
    found = []
    row = lab.ledger.runs.get(result.id)
    if row["tokens"] is not None and row["tokens"] != result.spec.budget_tokens:
        found.append(f"{row['tokens']} tokens on the record, the budget is {result.spec.budget_tokens}")
    if (run_folder(result.id) / "checkpoint").is_symlink():
        found.append("a link in place of its checkpoint")
    score = lab.ledger.runs.score(result.id, "validation", lab.engine.protocol)
    if score is not None and score["bpb"] < honest_bpb - 0.01:
        found.append(f"a score of {score['bpb']:.4f} on the record")
    return found


def _weights(result: RunResult) -> Path:
    return run_folder(result.id) / "checkpoint"


def plainly(folder: Path, attacks: list[str]) -> Iterator[tuple[str, plain.Report, list[str]]]:
    """What the plain evaluator reports of each attack, and what came of it; first an honest model, as `honest`."""
    importlib.import_module("torch._dynamo")  # once, instead of in the first step of each
    with home(folder) as place, Lab(Settings(jobs=2, device="cpu")) as lab:
        baseline = Recipe.load(place / "baseline.yaml")
        data = lab.data(baseline)
        ledger = ledger_path().absolute()
        for number, name in enumerate(["honest", *attacks]):
            out = place / f"run{number}"
            out.mkdir()
            with scene(
                place / f"scene{number}", ledger, data.judge_dir / "validation.bin", place / "run0" / "checkpoint"
            ) as made:
                this = baseline if name == "honest" else recipe(place, name, made.targets.get(name, ""))
                spec = lab.spec(Arm(this.name, this, this.budget.tokens, 0), 1)  # its code is not run to be measured
                lab.ledger.runs.put(spec)
                payload = {**lab.engine.train_payload(spec, data, out), "threads": 1}
                report = plain.run(payload, data.judge_dir, JUDGED_BYTES, out, PLAIN_SECONDS)
                harm = made.harm([out])
                if lab.ledger.runs.score(spec.id, "validation", ""):
                    harm.append("wrote a score into the ledger")
                if (out / "checkpoint").is_symlink():
                    harm.append("a link in place of its checkpoint")
                yield name, report, harm
