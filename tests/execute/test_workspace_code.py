"""Code from an agent, end to end: mutate → train → judge → compare, in a sandbox; identity, record and way back."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from foundry import sandbox
from foundry.compare.session import Lab
from foundry.core.errors import BrokenCode, RequestError
from foundry.execute.sampling import sample
from foundry.execute.untrusted import harness
from foundry.judge.splice import CUTS
from foundry.ledger import queries
from foundry.ledger.recorded_code import lay_out, rebuild
from foundry.mutate import mutate, write
from foundry.promote.sweep import SweepPlan, sweep
from foundry.recipe import Recipe, costs
from foundry.sandbox import tier
from foundry.train.progress import LocalLine
from tests.home import small_lab, write_tiny

pytestmark = pytest.mark.skipif(not sandbox.probe().at_least("landlock"), reason="this machine has no sandbox")
BASELINE = Path("experiments/baseline.yaml")
PARTS = {
    "activation/mine.py": '''"""ReLU, cubed. May not: let tokens meet."""
from foundry.modules.activation import ActivationConfig
from foundry.modules.feedforward import Plain


class Config(ActivationConfig):
    power: int = 3

    def build(self, width):
        return Plain(width, self.ratio, lambda x: x.relu() ** self.power)
''',
    "attention/spy.py": '''"""Sees the future. May not: be scored."""
from foundry.modules.attention import gqa


class Config(gqa.Config):
    def build(self, width, layer, norm):
        return Spy(self, width, layer, norm)


class Spy(gqa.GroupedQueryAttention):
    def forward(self, x_PBTD, side):
        return super().forward(x_PBTD, side) + x_PBTD.mean(-2, keepdim=True)
''',
    "optimizer/mine.py": '''"""Plain SGD with momentum. May not: decay."""
import torch
from foundry.modules.optimizer import OptimizerConfig, decay_groups


class Config(OptimizerConfig):
    def build(self, weights):
        return torch.optim.SGD(decay_groups(weights, self.lr, 0.0), momentum=0.9)
''',
    "loss/mine.py": '''"""Cross-entropy, twice. May not: decide any score."""
from foundry.modules.loss import LossConfig
from foundry.modules.loss.cross_entropy import cross_entropy


class Config(LossConfig):
    def build(self):
        return lambda logits, targets: 2 * cross_entropy(logits, targets)
''',
    "norm/broken.py": '''"""Can't be built. May not: anything."""
from foundry.modules.norm import layernorm


class Config(layernorm.Config):
    def build(self, width):
        return {}[width]
''',
}
MODEL = '''"""A model without blocks. May not: see the future."""
from foundry.model import GPT


class Model(GPT):
    def stream(self, ids, cache=None):
        return self.norm(self.embedding(ids))
'''


@pytest.fixture
def workspace(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOUNDRY_TIER", "landlock")  # the tier that starts at once
    for name in [name for name in sys.modules if name.startswith("foundry_workspace")]:  # other tests let theirs in
        monkeypatch.delitem(sys.modules, name)
    folder = home / "workspace" / "modules"
    for name, text in PARTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (home / "workspace" / "model.py").write_text(MODEL)
    return home / "workspace"


def mutated(mutation: str) -> Recipe:
    return mutate(Recipe.load(BASELINE), mutation)[0]


def score(lab: Lab, mutation: str, seed: int = 1) -> Any:
    return lab.gather([(lab.arm_of(mutated(mutation)), seed)])[0]


def test_agents_parts_are_trained_judged_and_ranked_like_any_other_and_leaks_are_not(workspace: Path) -> None:
    candidates = ("activation:mine", "attention:spy", "optimizer:mine", "loss:mine", "norm:broken")
    with small_lab() as lab:
        document = sweep(lab, BASELINE, SweepPlan(candidates, seeds=1), lambda *pair: None)
        rows = {row["mutation"]: row for row in document["candidates"]}
        tiers = {run: lab.ledger.runs.get(run)["tier"] for row in rows.values() for run in _runs(row)}
        cuts = _cuts(lab, rows["activation:mine"])
    scored = {name for name, row in rows.items() if row["val_bpb"] is not None}
    assert scored == {"activation:mine", "optimizer:mine", "loss:mine"}
    assert rows["attention:spy"]["reason"] == "leak" and rows["norm:broken"]["reason"] == "invalid"
    assert set(tiers.values()) == {"landlock"}
    assert cuts > 0.9 * CUTS, "all windows are spliced, not a sample"
    assert "foundry_workspace.modules.activation.mine" not in sys.modules


def _cuts(lab: Lab, row: dict[str, Any]) -> int:
    scores = [lab.ledger.runs.score(run, "validation", lab.engine.protocol) for run in _runs(row)]
    return min(json.loads(score["probes"])["cuts"] for score in scores if score is not None)


def _runs(row: dict[str, Any]) -> list[str]:
    return [run["run"] for run in row.get("runs", [])]


def test_a_report_has_numbers_that_a_report_can_have() -> None:
    odd = {"loss": 10**400, "lr": float("nan"), "grad_norm": -float("inf"), "tokens_per_second": "many", "x": 1}
    assert harness._numbers(odd) == {}  # pyright: ignore[reportPrivateUsage]
    assert harness._numbers({"loss": 2, "lr": -0.5}) == {"loss": 2, "lr": -0.5}  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("field", "refused"),
    [
        ("build: int = 1", True),
        ("alike: bool = False", True),
        ('odd: object = {"a", "b", "c"}', False),
        ('odd: object = b"\\xff"', False),
        ('odd: str = "\\ud800"', False),
    ],
)
def test_a_default_that_no_recipe_can_hold_is_none_and_a_name_that_is_taken_is_refused(
    workspace: Path, field: str, refused: bool
) -> None:
    text = PARTS["activation/mine.py"].replace(
        "class Config(ActivationConfig):\n", f"class Config(ActivationConfig):\n    {field}\n"
    )
    assert field in text
    (workspace / "modules/activation/odd.py").write_text(text)
    if refused:
        with pytest.raises(RequestError, match=r"code\.field_taken"):
            mutated("activation:odd")
    else:
        assert mutated("activation:odd").to_dict()["model"]["activation"].keys() == {"kind", "ratio", "power"}


def test_code_that_hangs_is_refused_by_a_runs_own_limit_and_as_a_timeout(workspace: Path) -> None:
    text = PARTS["norm/broken.py"].replace("{}[width]", "__import__('time').sleep(600)")
    (workspace / "modules/norm/hangs.py").write_text(text)
    with small_lab(stall_seconds=3) as lab, pytest.raises(BrokenCode) as caught:
        lab.arm_of(mutated("norm:hangs"))
    assert caught.value.reason == "timeout"


def test_a_part_with_other_flops_is_matched_tuned_and_screened_as_any_other(workspace: Path) -> None:
    source = (Path(harness.__file__).parents[2] / "modules/activation/swiglu.py").read_text()
    (workspace / "modules/activation/mish.py").write_text(source.replace("silu", "mish"))
    with small_lab() as lab:
        for tune in (None, "lr"):
            document = sweep(lab, BASELINE, SweepPlan(("activation:mish",), seeds=1, tune=tune), lambda *pair: None)
            candidate = next(row for row in document["candidates"] if row["mutation"] == "activation:mish")
            assert candidate["val_bpb"] is not None and candidate["match"] == "flops"
        assert {row["status"] for row in queries.log(limit=100)} == {"done"}


def test_what_a_model_costs_is_known_of_every_recipe_with_it_and_of_no_other(workspace: Path) -> None:
    recipe = mutated("activation:mine")
    with small_lab() as lab:
        lab.arm_of(recipe)
    plain = recipe.to_dict()
    for same in ("set:budget.tokens=640", "set:train.optimizer.lr=1e-4", "norm:rmsnorm", "set:model.width=32"):
        other, _ = mutate(Recipe.from_dict(plain), same)
        assert costs.is_known(other, 30) is False, "another vocabulary"
        with small_lab() as lab:
            known = costs.is_known(other, lab.data(other).vocab_size)
        assert known == (not same.startswith(("norm", "set:model")))


def test_a_workspace_part_trains_bit_by_bit_as_it_would_in_the_package(workspace: Path) -> None:
    copied = (Path(harness.__file__).parents[2] / "modules/activation/gelu.py").read_text()
    (workspace / "modules/activation/copied.py").write_text(copied)
    with small_lab() as lab:
        ours, theirs = score(lab, "activation:gelu"), score(lab, "activation:copied")
    assert (ours.bpb, ours.facts["train_loss"]) == (theirs.bpb, theirs.facts["train_loss"])
    assert (ours.facts["tokens"], ours.facts["flops"]) == (theirs.facts["tokens"], theirs.facts["flops"])


def test_a_whole_file_model_goes_the_same_way(workspace: Path) -> None:
    with small_lab() as lab:
        result, plain = score(lab, "set:model.code=model"), score(lab, "depth:2")
        part = score(lab, "activation:mine")
    assert result.ok and result.bpb is not None and 0 < result.facts["flops"] < plain.facts["flops"]
    texts = [sample(run.id, "To be", 20, 0.8, 0, seed=1)["text"] for run in (result, part)]
    assert all(text.startswith("To be") for text in texts)
    shutil.rmtree(workspace)  # what was trained is what is sampled
    assert [sample(run.id, "To be", 20, 0.8, 0, seed=1)["text"] for run in (result, part)] == texts


def test_another_source_is_another_recipe_and_the_record_rebuilds_what_was_run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = workspace / "modules/activation/mine.py"
    with small_lab() as lab:
        first = score(lab, "activation:mine")
        file.write_text(PARTS["activation/mine.py"].replace("power: int = 3", "power: int = 2"))
        second = score(lab, "activation:mine")
        assert first.id != second.id and first.bpb != second.bpb
        file.unlink()
        built = rebuild(lab.ledger, first.spec.recipe.fingerprint[:10], Path("rebuilt"))
    assert Path("rebuilt/workspace/modules/activation/mine.py").read_text() == PARTS["activation/mine.py"]
    monkeypatch.setenv("FOUNDRY_WORKSPACE", built["workspace"])
    recipe = Recipe.load(Path("rebuilt/recipe.yaml"))
    assert recipe.fingerprint == first.spec.recipe.fingerprint == built["recipe"]
    monkeypatch.setenv("FOUNDRY_RUNS", "elsewhere")
    with small_lab() as lab:
        again = lab.gather([(lab.arm_of(recipe), 1)])[0]
    assert (again.id, again.bpb) == (first.id, first.bpb)


def test_what_runs_is_what_was_recorded_whatever_happens_to_the_file_meanwhile(workspace: Path) -> None:
    recipe = mutated("activation:mine")
    with small_lab() as lab:
        arm = lab.arm_of(recipe)
        (workspace / "modules/activation/mine.py").write_text("raise SystemExit")
        assert lab.gather([(arm, 1)])[0].ok
        folder = lay_out(lab.ledger, recipe.fingerprint)
    assert (folder / "modules/activation/mine.py").read_text() == PARTS["activation/mine.py"]


def test_code_is_refused_below_the_tier_that_is_asked_for(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weaker = tier.Tier("landlock", {"bubblewrap": "not on this machine"})
    with monkeypatch.context() as patch:
        patch.setattr(tier, "probe", lambda: weaker)
        patch.setenv("FOUNDRY_TIER", "bubblewrap")
        with small_lab() as lab, pytest.raises(RequestError, match=r"sandbox\.too_weak.*install bubblewrap"):
            lab.arm_of(mutated("activation:mine"))
    monkeypatch.setenv("FOUNDRY_TIER", "fort")
    with small_lab() as lab, pytest.raises(RequestError, match="unknown_tier"):
        lab.arm_of(mutated("activation:mine"))


@pytest.mark.skipif(not sandbox.probe().at_least("bubblewrap"), reason="this machine has no bubblewrap")
def test_in_bubblewrap_code_gets_the_score_that_it_gets_elsewhere_and_leaks_are_found(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_lab() as lab:
        here = score(lab, "activation:mine")
    monkeypatch.setenv("FOUNDRY_RUNS", "in bubblewrap")
    monkeypatch.delenv("FOUNDRY_TIER")  # the best that there is
    with small_lab() as lab:
        there, spy = score(lab, "activation:mine"), score(lab, "attention:spy")
    assert there.ok and (here.bpb, here.facts["train_loss"]) == (there.bpb, there.facts["train_loss"])
    assert (here.facts["tier"], there.facts["tier"]) == ("landlock", "bubblewrap")
    assert spy.reason == "leak"


def test_reading_writing_and_listing_recipes_runs_no_code(workspace: Path, tmp_path: Path) -> None:
    (workspace / "modules/activation/mine.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\n" + PARTS["activation/mine.py"].replace('"""', "#")
    )
    written = write(BASELINE, "activation:mine", Path("experiments"))
    recipe = Recipe.load(written.file)
    assert recipe.fingerprint == written.recipe.fingerprint and recipe.model.sealed
    assert recipe.to_dict()["model"]["activation"] == {"kind": "mine", "ratio": 4.0, "power": 3}
    assert not (tmp_path / "ran").exists()


def test_an_interrupted_run_goes_on_bit_by_bit_and_is_served_no_batch_twice(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(workspace))  # a worker sets it for itself; here it is put back
    write_tiny(BASELINE, budget__tokens=64 * 60)

    class Impatient(LocalLine):
        """Asks to stop at the first report."""

        def tell(self, **facts: Any) -> None:
            super().tell(**facts)
            self.stop()

    with small_lab() as lab:
        arm = lab.arm_of(mutated("activation:mine"))
        spec, data = lab.spec(arm, 1), lab.data(arm.recipe)
        whole = lab.gather([(arm, 1)])[0]
        payload = lab.engine.train_payload(spec, data, Path("apart").absolute())
        inside = lab.engine.guard.training(arm.recipe, payload, 1 << 30)
    parts = [harness.train(inside, line) for line in (Impatient(), LocalLine())]
    assert [part["status"] for part in parts] == ["interrupted", "done"]
    assert 0 < parts[0]["steps"] < parts[1]["steps"] == 60
    ours, theirs = (Path(folder) / "checkpoint" / "manifest.json" for folder in ("apart", _folder(whole.id)))
    weights = [json.loads(path.read_text())["files"]["model.safetensors"] for path in (ours, theirs)]
    assert weights[0] == weights[1]


def _folder(run: str) -> str:
    return f"runs/{run[:16]}"
