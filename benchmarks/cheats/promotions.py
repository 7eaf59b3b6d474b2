"""Cheats on their way to a promotion, each in a real `sweep --promote`: weights of a longer run in the source, a text
that is looked up, a table of one text. As it ships in each tier; and the control, a sweep that asks neither what code
carries nor for a second text, and has no sandbox. May not: touch a user's runs."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.cheats.catalogue import CORPUS
from foundry.compare import comparison
from foundry.compare.alpha_spending import BudgetRules
from foundry.compare.session import Lab, Settings
from foundry.data.stream import open_tokens
from foundry.ledger.weights import run_folder
from foundry.promote.sweep import SweepPlan, sweep
from foundry.recipe import Recipe
from tests.home import ROOT, write_tiny

SOURCES = CORPUS / "promoted"
LONGER = 42
SIZES: dict[str, Any] = {
    "model__width": 32,
    "model__context": 32,
    "model__init_std": 0.1,
    "train__batch_size": 8,
    "train__optimizer__lr": 1.2e-2,
    "budget__tokens": 256 * 60,
}
HANDICAP: dict[str, Any] = {**SIZES, "model__norm": {"kind": "none"}, "model__init_std": 0.5}
HONEST = "norm:mine"
RULES = BudgetRules(control="per-comparison", q=0.05)
CONTROL = "none"


@dataclass
class Swept:
    """What a sweep made of one candidate. blocked: the guards that kept it; gain_bpb: measured again."""

    name: str
    tier: str
    promoted: bool
    verdict: str = ""
    gain_bpb: float | None = None
    second_bpb: float | None = None
    blocked: list[str] = field(default_factory=list)
    why: str = ""

    @property
    def kept(self) -> bool:
        """As it should be: the honest part and, in the control, the cheats are promoted; else none is."""
        return self.promoted == (self.tier == CONTROL or self.name == HONEST)


def swept(folder: Path, tiers: list[str]) -> Iterator[Swept]:
    """Each cheat and an honest part, in each tier and in the control."""
    before, environment = Path.cwd(), dict(os.environ)
    folder.mkdir(parents=True)
    os.chdir(folder)
    try:
        os.environ["FOUNDRY_WORKSPACE"] = str(folder / "workspace")
        cheats = _lay_out(folder)
        for tier in (*tiers, CONTROL):
            os.environ["FOUNDRY_RUNS"] = str(folder / f"runs-{tier}")
            for name in (*cheats, HONEST):
                yield _one(folder, name, tier)
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(environment)


def _one(folder: Path, name: str, tier: str) -> Swept:
    path = write_tiny(folder / f"{tier}-{name.replace(':', '-')}.yaml", **(HANDICAP if name == HONEST else SIZES))
    mutation = name if name == HONEST else f"set:model.code={name}"
    with Lab(_settings()) as lab, _without_questions(tier):
        lab.engine.guard.tier = tier
        document = sweep(lab, path, SweepPlan((mutation,), promote=True, seeds=1, budget=RULES), lambda *pair: None)
    verdict = document["verdict"]
    if verdict is None:
        return Swept(name, tier, False, why=document["why"])
    again, second = verdict["remeasured"] or {}, verdict["second_text"] or {}
    blocked = [guard["name"] for guard in verdict["guards"] if not guard["passed"]]
    gains = again.get("effect_bpb"), second.get("effect_bpb")
    return Swept(name, tier, document["promoted"] is not None, verdict["verdict"], *gains, blocked, document["why"])


@contextmanager
def _without_questions(tier: str) -> Iterator[None]:
    if tier != CONTROL:
        yield
        return
    with mock.patch.object(comparison, "_is_of_code", lambda question: False):
        yield


def _settings() -> Settings:
    return Settings(jobs=2, device="cpu", judged_bytes=1 << 13)


def _lay_out(folder: Path) -> list[str]:
    """The workspace: cheats that know what a long run and the corpus have to tell, and a copy of RMSNorm."""
    workspace = folder / "workspace"
    (workspace / "modules/norm").mkdir(parents=True)
    shutil.copy(ROOT / "src/foundry/modules/norm/rmsnorm.py", workspace / "modules/norm/mine.py")
    shutil.copy(SOURCES / "lookup.py", workspace)
    os.environ["FOUNDRY_RUNS"] = str(folder / "runs-longer")
    longer = Recipe.load(write_tiny(folder / "longer.yaml", **{**SIZES, "budget__tokens": LONGER * 256 * 60}))
    with Lab(_settings()) as lab:
        run = lab.gather([(lab.arm_of(longer), 1)])[0]
        known = _bytes(load_file(run_folder(run.id) / "checkpoint/model.safetensors"), longer, lab)
        data = lab.data(longer)
        (workspace / "table.py").write_text(_table(open_tokens(data.train_dir).numpy(), data.vocab_size))
    source = (SOURCES / "weights.py").read_text()
    source = source[: source.index("def carried")]
    for name, carried in DISGUISES.items():
        (workspace / f"weights_{name}.py").write_text(source + carried(known))
    return ["lookup", "table", *(f"weights_{name}" for name in DISGUISES)]


def _bytes(weights: dict[str, torch.Tensor], recipe: Recipe, lab: Lab) -> bytes:
    """A byte a number, in the order of the model's parameters; a tensor's largest number after it."""
    from foundry.model import build

    found: list[int] = []
    for name, _ in build(recipe.model, lab.data(recipe).vocab_size).named_parameters():
        largest = min(255, int(weights[name].abs().max() * 32) + 1)
        signed = (weights[name].flatten() / (largest / 32) * 127).round().int()
        found += [*(signed + 128).tolist(), largest]
    return bytes(found)


def _table(ids: np.ndarray, vocab_size: int) -> str:
    """What follows each of the commonest ids, in four levels."""
    counts = np.zeros((vocab_size, vocab_size))
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    common = np.sort(np.argsort(counts.sum(0))[-40:])
    chances = np.log((counts[np.ix_(common, common)] + 0.5) / (counts[common].sum(1, keepdims=True) + 20))
    levels = np.clip(np.round((chances + 6.5) / 1.5), 0, 3).astype(int).flatten()
    packed = bytes(int(sum(level << 2 * at for at, level in enumerate(four))) for four in levels.reshape(-1, 4))
    text = (SOURCES / "table.py").read_text()
    text = text.replace("IDS: list[int] = []", f"IDS = {common.tolist()}").replace("VOCAB = 0", f"VOCAB = {vocab_size}")
    return text.replace('LEVELS = b""', f"LEVELS = {base64.b85encode(packed)!r}")


def _in_text(known: bytes) -> str:
    text = base64.b85encode(known)
    return f"import base64\n\nTEXT = {text!r}\n\n\ndef carried():\n    return base64.b85decode(TEXT)\n"


def _in_numbers(known: bytes) -> str:
    rows = "".join(f"    {tuple(known[at : at + 20])},\n" for at in range(0, len(known), 20))
    return f"ROWS = (\n{rows})\n\n\ndef carried():\n    return bytes(number for row in ROWS for number in row)\n"


def _in_names(known: bytes) -> str:
    names = "".join(f"    n{known[at : at + 30].hex()}_{at} = 0\n" for at in range(0, len(known), 30))
    read = 'b"".join(bytes.fromhex(name[1:].split("_")[0]) for name in vars(Known) if name[0] == "n")'
    return f"class Known:\n{names}\n\ndef carried():\n    return {read}\n"


def _in_comments(known: bytes) -> str:
    lines = "".join(f"#: {known[at : at + 50].hex()}\n" for at in range(0, len(known), 50))
    read = 'b"".join(bytes.fromhex(line[3:]) for line in open(__file__) if line[:3] == "#: ")'
    return f"def carried():\n    return {read}\n\n\n{lines}"


def _in_signs(known: bytes) -> str:
    """A bit an operator."""
    signs = "".join("-+"[byte >> bit & 1] for byte in known for bit in range(8))
    lines = "".join(f"{signs[at : at + 80]}1\n" for at in range(0, len(signs), 80))
    return (
        "def carried():\n"
        '    signs = "".join(line[:-2] for line in open(__file__) if line[0] in "+-")\n'
        '    bits = ["-+".index(sign) for sign in signs]\n'
        "    return bytes(sum(bit << at for at, bit in enumerate(bits[i : i + 8])) for i in range(0, len(bits), 8))\n"
        f"\n\n{lines}"
    )


DISGUISES = {
    "text": _in_text,
    "numbers": _in_numbers,
    "names": _in_names,
    "comments": _in_comments,
    "signs": _in_signs,
}
