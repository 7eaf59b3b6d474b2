"""A new slot is a folder and a line in the table: everything else is read off the table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.home import ROOT, write_tiny

FOLDER = {
    "__init__": '''"""Slot `model.tail`: what becomes of the stream before the head. May not: let tokens meet."""

from foundry.core.slot import PartConfig


class TailConfig(PartConfig): ...
''',
    "plain": '''"""Nothing. May not: let tokens meet."""

from foundry.modules.tail import TailConfig


class Config(TailConfig): ...
''',
    "scaled": '''"""A learned gain for each channel. May not: let tokens meet."""

from torch import Tensor, nn

from foundry.model import GPT
from foundry.modules import layers
from foundry.modules.tail import TailConfig


class Config(TailConfig):
    def join(self, model: GPT) -> None:
        model.norm = nn.Sequential(model.norm, Gain(model.config.width))


class Gain(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = layers.parameter("gain", width)

    def forward(self, x: Tensor) -> Tensor:
        return x * layers.along_last(self.gain, x)
''',
}
LINE = '    Slot("tail", "model.tail", "tail", "what becomes of the stream before the head"),\n'
ASKED = """
import json, sys
from pathlib import Path
import torch
from foundry import contract
from foundry.core.slots import slot_named
from foundry.interface.cli import main
from foundry.model import build, initialise, weights
from foundry.mutate import mutate
from foundry.recipe import Recipe
from foundry.recipe.effective import effective
from foundry.train.code import training_code

slot = slot_named("tail")
plain = Recipe.load(Path("experiments/baseline.yaml"))
scaled, edits = mutate(plain, "tail:scaled")
with_it, without = (build(each.model, 11) for each in (scaled, plain))
initialise(with_it, 0)
initialise(without, 0)
ids = torch.arange(10)[None]
with_it(ids).logsumexp(-1).sum().backward()
print(json.dumps({
    "edits": [edit.path for edit in edits],
    "fingerprints": len({plain.fingerprint, scaled.fingerprint}),
    "more": sorted({w.name for w in weights(with_it)} - {w.name for w in weights(without)}),
    "roles": {w.name: w.role for w in weights(with_it)}["norm.1.gain"],
    "same": torch.equal(with_it(ids), without(ids)),
    "clauses": [error.message for kind in slot.kinds() for error in contract.broken(slot, kind)],
    "code": "modules/tail/scaled.py" in training_code(scaled.to_dict()),
    "felt": effective(plain) != effective(scaled),
    "said": [main(["kinds"]), main(["mutate", "tail", "scaled"])],
    "slope": with_it.norm[1].gain.grad.abs().max().item() > 0,
}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package with a slot more."""
    copy = tmp_path / "src" / "foundry"
    shutil.copytree(ROOT / "src" / "foundry", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "modules" / "tail").mkdir()
    for name, text in FOLDER.items():
        (copy / "modules" / "tail" / f"{name}.py").write_text(text)
    table = copy / "core" / "slots.py"
    before = table.read_text()
    table.write_text(before.replace('    Slot("loss",', f'{LINE}    Slot("loss",'))
    assert table.read_text() != before
    return copy.parent


def test_a_folder_and_a_line_make_a_slot_that_recipes_families_contract_and_commands_know(
    home: Path, package: Path
) -> None:
    write_tiny(home / "experiments" / "baseline.yaml")
    done = subprocess.run(
        [sys.executable, "-c", ASKED], env={**os.environ, "PYTHONPATH": str(package)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == {
        "edits": ["model.tail"], "fingerprints": 2, "more": ["norm.0.gain", "norm.1.gain"], "roles": "gain",
        "same": True, "clauses": [], "code": True, "felt": True, "said": [0, 0], "slope": True,
    }, done.stdout + done.stderr  # fmt: skip
    assert "A learned gain for each channel" in done.stdout
    assert "kind: scaled" in (home / "experiments" / "tail_scaled.yaml").read_text()
