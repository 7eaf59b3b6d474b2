"""Negative controls: for each clause a part that breaks it, written as an agent would, is caught by that clause."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from foundry.contract import broken, clauses
from foundry.core import slots
from foundry.core.slot import Slot
from foundry.modules import activation, attention, loss, norm, optimizer, schedule

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("admitted")

HEAD = '"""A part. May not: much."""\nimport torch\nfrom torch import nn\nfrom pydantic import Field\n'

GQA = """
from foundry.modules.grouped import GroupedConfig
from foundry.modules.attention.gqa import GroupedQueryAttention
from foundry.modules.sdpa import attend, join_heads, split_heads
class Config(GroupedConfig):
    def build(self, width, layer, norm):
        return Mine(self, width, layer, norm)
class Mine(GroupedQueryAttention):
    def forward(self, x, side):
        {body}
"""

NORM = """
from foundry.modules.norm import NormConfig
class Config(NormConfig):
    def build(self, width):
        return Mine(width)
    def build_qk(self, head_dim):
        return None
class Mine(nn.Module):
    def __init__(self, width):
        super().__init__()
        {init}
    def forward(self, x):
        {body}
"""

RELU = """
from foundry.modules.activation import ActivationConfig
from foundry.modules.feedforward import Plain
class Config(ActivationConfig):
    {field}
    def build(self, width):
        return {build}
"""

LOSS = """
from foundry.modules.loss import LossConfig
from torch.nn import functional as F
def ce(logits, targets):
    flat = F.cross_entropy(logits.flatten(0, -2).float(), targets.expand(logits.shape[:-1]).flatten(), reduction="none")
    return flat.view(logits.shape[:-1])
class Config(LossConfig):
    neutral = {{}}
    def build(self):
        return lambda logits, targets: {value}
"""

SCHEDULE = """
from foundry.modules.schedule import ScheduleConfig
class Config(ScheduleConfig):
    def after_warmup(self, progress):
        return {value}
    {more}
"""

OPTIMIZER = """
from foundry.modules.optimizer import OptimizerConfig, decay_groups
class Config(OptimizerConfig):
    def build(self, weights):
        {body}
class Mine(torch.optim.SGD):
    def __init__(self, groups):
        super().__init__(groups)
        self.count = 0
    def step(self, closure=None):
        {step}
"""


def norm_part(body: str, init: str = "pass") -> str:
    return HEAD + NORM.format(init=init, body=body)


def optimizer_part(body: str = "return Mine(decay_groups(weights, self.lr, 0.0))", step: str = "super().step()") -> str:
    return HEAD + OPTIMIZER.format(body=body, step=step)


BROKEN: dict[str, tuple[Slot, str]] = {
    "check_file_explains_itself": (norm.SLOT, norm_part("return x").replace("May not", "Can")),
    "check_defaults_build": (
        activation.SLOT,
        HEAD + RELU.format(field="mine: int", build="Plain(width, 4, torch.relu)"),
    ),
    "check_builds_without_memory": (
        activation.SLOT,
        HEAD + RELU.format(field="", build="Plain(width, 4 + float(torch.ones(()).item()) * 0, torch.relu)"),
    ),
    "check_shape_is_kept": (norm.SLOT, norm_part("return x.squeeze(0)")),
    "check_no_gradient_from_the_future": (norm.SLOT, norm_part("return x - x.mean(-2, keepdim=True)")),
    "check_future_does_not_show": (norm.SLOT, norm_part("return x * x.shape[-2]")),
    "check_rows_are_independent": (norm.SLOT, norm_part("return x / x.detach().square().mean((0, 1)).sqrt()")),
    "check_tokens_are_independent": (norm.SLOT, norm_part("return x + x.cumsum(-2)")),
    "check_gradients_are_finite": (norm.SLOT, norm_part("return x / x.square().mean(-1, keepdim=True).sqrt()")),
    "check_member_equals_alone": (
        norm.SLOT,
        norm_part("return x * self.gain.mean()", "self.gain = nn.Parameter(torch.ones(width))"),
    ),
    "check_nothing_is_kept_between_calls": (
        norm.SLOT,
        norm_part(
            "self.mean = 0.9 * self.mean + 0.1 * x.mean().item(); return x - self.mean",
            "self.mean = 0.0",
        ),
    ),
    "check_cache_changes_nothing": (
        attention.SLOT,
        HEAD
        + GQA.format(
            body="q, k, v = (split_heads(f(x), 4) for f in (self.heads.query, self.heads.key, self.heads.value)); "
            "return self.out(join_heads(attend(q, k, v, side)))"
        ),
    ),
    "check_bf16_is_finite": (norm.SLOT, norm_part("return x @ torch.eye(x.shape[-1])")),
    "check_flops_are_counted": (
        activation.SLOT,
        HEAD + RELU.format(field="", build="nn.Sequential(Plain(width, 4, torch.relu), nn.Linear(width, width))"),
    ),
    "check_round_trip": (
        activation.SLOT,
        HEAD
        + RELU.format(
            field="mine: float = Field(1.0, exclude=True)\n    model_config = {'extra': 'ignore'}",
            build="Plain(width, 4, torch.relu)",
        ),
    ),
    "check_loss_is_a_finite_mean": (loss.SLOT, HEAD + LOSS.format(value="ce(logits, targets).sum((-2, -1))")),
    "check_loss_prefers_the_truth": (loss.SLOT, HEAD + LOSS.format(value="-ce(logits, targets).mean((-2, -1))")),
    "check_loss_is_cross_entropy_when_neutral": (
        loss.SLOT,
        HEAD + LOSS.format(value="1.01 * ce(logits, targets).mean((-2, -1))"),
    ),
    "check_loss_of_member_equals_alone": (loss.SLOT, HEAD + LOSS.format(value="ce(logits, targets).mean()")),
    "check_schedule_stays_a_share": (schedule.SLOT, HEAD + SCHEDULE.format(value="1 - 2 * progress", more="")),
    "check_schedule_warms_up": (
        schedule.SLOT,
        HEAD + SCHEDULE.format(value="1.0", more="def share(self, step, steps): return 1.0"),
    ),
    "check_schedule_rescales": (
        schedule.SLOT,
        HEAD
        + SCHEDULE.format(
            value="1.0", more="def share(self, step, steps): return min(1.0, (step + 1) / 100) * 0.999 ** (step // 10)"
        ),
    ),
    "check_optimizer_covers_every_weight": (
        optimizer.SLOT,
        optimizer_part("return Mine(decay_groups(weights[1:], self.lr, 0.0))"),
    ),
    "check_optimizer_descends": (
        optimizer.SLOT,
        optimizer_part(step="[p.grad.neg_() for g in self.param_groups for p in g['params']]; super().step()"),
    ),
    "check_optimizer_resumes_bitwise": (
        optimizer.SLOT,
        optimizer_part(
            step="self.count += 1; [p.grad.div_(self.count) for g in self.param_groups for p in g['params']]; "
            "super().step()"
        ),
    ),
    "check_optimizer_steps_members_alone": (
        optimizer.SLOT,
        optimizer_part(
            step="[p.grad.div_(p.grad.norm() + 1e-9) for g in self.param_groups for p in g['params']]; super().step()"
        ),
    ),
}

SLOTS = tuple(slot for slot in slots.SLOTS if slot.name != "tokenizer")  # it has the common clauses alone


def test_every_clause_has_a_part_that_breaks_it() -> None:
    assert {clause.__name__ for slot in SLOTS for clause in clauses(slot)} == set(BROKEN)


@pytest.mark.parametrize("clause", BROKEN)
def test_a_part_that_breaks_a_clause_is_caught_by_it(
    clause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, source = BROKEN[clause]
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(tmp_path))
    file = tmp_path / slot.relative / "mine.py"
    file.parent.mkdir(parents=True)
    file.write_text(source)
    found = list(broken(slot, "mine"))
    assert clause in [error.clause for error in found], [str(error) for error in found]
    assert f"{slot.name}:mine" in str(found[0])


def test_a_sound_part_in_the_workspace_breaks_no_clause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(tmp_path))
    file = tmp_path / "modules" / "activation" / "mine.py"
    file.parent.mkdir(parents=True)
    file.write_text(HEAD + RELU.format(field="", build="Plain(width, self.ratio, torch.relu)"))
    assert list(broken(activation.SLOT, "mine")) == []
