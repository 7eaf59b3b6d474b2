"""Clauses for the parts that training is made of: loss, optimizer, schedule. May not: know any kind by name.

Shapes: P population (may be absent), B batch, T time, V vocabulary.
"""

from __future__ import annotations

import copy
import io
import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundry.contract.clause import Clause, ContractError, example
from foundry.core.slot import Slot
from foundry.modules.loss import LossConfig, LossFunction
from foundry.modules.optimizer import OptimizerConfig, Weight
from foundry.modules.schedule import ScheduleConfig

BATCH, TIME, VOCAB, MEMBERS = 3, 5, 7, 3


def _loss(slot: Slot, kind: str, **fields: object) -> LossFunction:
    config = example(slot, kind, **fields)
    assert isinstance(config, LossConfig)
    return config.build()


def _logits_and_targets(*shape: int, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(*shape, VOCAB, generator=generator)
    return logits.requires_grad_(), torch.randint(VOCAB, shape, generator=generator)


def check_loss_is_a_finite_mean(slot: Slot, kind: str) -> None:
    """A scalar, with finite gradients even where the model is certain, right or wrong; a mean over tokens.

    Hint: return the mean over tokens in nats, from logits.float(), without log(0).
    """
    clause, loss = "check_loss_is_a_finite_mean", _loss(slot, kind)
    for scale in (0.0, 2.0, 1000.0):
        logits, targets = _logits_and_targets(BATCH, TIME, scale=scale)
        value = loss(logits, targets)
        (slope,) = torch.autograd.grad(value, logits)
        if value.shape != () or not torch.isfinite(value) or not torch.isfinite(slope).all():
            raise ContractError(clause, slot, kind, f"{value} at logits of scale {scale}")
        twice = loss(torch.cat((logits, logits)), torch.cat((targets, targets)))
        if not torch.allclose(twice, value, rtol=1e-4):
            raise ContractError(clause, slot, kind, f"{value} becomes {twice} when each row is there twice")
        if not torch.isfinite(loss(logits.bfloat16(), targets)):
            raise ContractError(clause, slot, kind, f"not finite for bf16 logits of scale {scale}")


def check_loss_prefers_the_truth(slot: Slot, kind: str) -> None:
    """It falls as probability moves to the right token, and its gradient moves it there.

    Hint: the loss must fall as the right token's logit rises.
    """
    clause, loss = "check_loss_prefers_the_truth", _loss(slot, kind)
    _, targets = _logits_and_targets(BATCH, TIME)
    right = F.one_hot(targets, VOCAB).float()
    wrong, even, good = (loss(sign * right, targets).item() for sign in (-1.0, 0.0, 1.0))
    if not wrong > even > good:
        raise ContractError(clause, slot, kind, f"{wrong} for wrong, {even} for even, {good} for right predictions")
    logits = torch.zeros(BATCH, TIME, VOCAB, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(logits, targets), logits)
    if not ((slope * right).sum(-1) < 0).all():
        raise ContractError(clause, slot, kind, "the gradient doesn't raise the right token")


def check_loss_is_cross_entropy_when_neutral(slot: Slot, kind: str) -> None:
    """With the values that it declares as neutral it is plain cross-entropy; None declares that there are none.

    Hint: correct the formula, or declare `neutral: ClassVar = None` in Config.
    """
    config = example(slot, kind)
    assert isinstance(config, LossConfig)
    if config.neutral is None:
        return
    logits, targets = _logits_and_targets(BATCH, TIME)
    got = _loss(slot, kind, **config.neutral)(logits, targets)
    want = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    if not torch.allclose(got, want, rtol=1e-5):
        raise ContractError("check_loss_is_cross_entropy_when_neutral", slot, kind, f"{got} where it is {want}")


def check_loss_of_member_equals_alone(slot: Slot, kind: str) -> None:
    """[P, B, T, V] gives [P], each what its member gives alone; targets may be shared.

    Hint: return [P] for logits [P, B, T, V], by modules.loss.member_mean; or declare `population: ClassVar[bool] =
    False`.
    """
    clause, loss = "check_loss_of_member_equals_alone", _loss(slot, kind)
    if not example(slot, kind).population:
        return
    logits, targets = _logits_and_targets(MEMBERS, BATCH, TIME)
    for name, of_member in {"own targets": targets, "shared targets": targets[:1].expand_as(targets)}.items():
        given = of_member[0] if name == "shared targets" else of_member
        together = loss(logits, given)
        alone = torch.stack([loss(logits[i], of_member[i]) for i in range(MEMBERS)])
        if together.shape != (MEMBERS,) or not torch.allclose(together, alone, rtol=1e-5):
            raise ContractError(clause, slot, kind, f"{name}: {together.tolist()} together, {alone.tolist()} alone")


def _schedule(slot: Slot, kind: str, **fields: object) -> ScheduleConfig:
    config = example(slot, kind, **fields)
    assert isinstance(config, ScheduleConfig)
    return config


def check_schedule_stays_a_share(slot: Slot, kind: str) -> None:
    """Between 0 and 1 at every step of runs of any length, reaching the peak, and the same when asked again.

    Hint: share(step, steps) is a pure function with values in (0, 1] that reaches 1.
    """
    clause = "check_schedule_stays_a_share"
    for warmup in (0.0, 0.1, 0.9):
        schedule = _schedule(slot, kind, warmup=warmup)
        for steps in (1, 2, 3, 10, 1000):
            shares = [schedule.share(step, steps) for step in range(steps)]
            if not all(math.isfinite(share) and 0 <= share <= 1 for share in shares) or not shares[0] > 0:
                raise ContractError(clause, slot, kind, f"leaves (0, 1] in {steps} steps: {min(shares)}, {max(shares)}")
            if shares != [schedule.share(step, steps) for step in range(steps)]:
                raise ContractError(clause, slot, kind, "another share when asked again")
            if max(shares) < 0.99:
                raise ContractError(clause, slot, kind, f"never reaches the peak in {steps} steps: {max(shares)}")


def check_schedule_warms_up(slot: Slot, kind: str) -> None:
    """The rate rises at every step of the warmup.

    Hint: rise at each of the first warmup · steps steps.
    """
    schedule = _schedule(slot, kind, warmup=0.1)
    shares = [schedule.share(step, 1000) for step in range(100)]
    if any(later <= earlier for earlier, later in itertools.pairwise(shares)):
        raise ContractError("check_schedule_warms_up", slot, kind, "doesn't rise while warming up")


def check_schedule_rescales(slot: Slot, kind: str) -> None:
    """A run ten times as long has the same course, stretched.

    Hint: compute from step / steps, never from an absolute number of steps.
    """
    schedule = _schedule(slot, kind, warmup=0.1)
    gap = max(abs(schedule.share(step, 1000) - schedule.share(10 * step, 10_000)) for step in range(1000))
    if gap > 0.02:
        raise ContractError("check_schedule_rescales", slot, kind, f"differs by {gap:.3f} in a run ten times as long")


SHAPES = {"embedding": (6, 4), "matrix": (8, 4), "out": (4, 8), "head": (6, 4), "gain": (4,), "vector": (4,)}


def _weights(seed: int = 0, members: int = 0) -> list[Weight]:
    generator = torch.Generator().manual_seed(seed)
    lead = (members,) if members else ()
    tensors = {
        role: nn.Parameter(0.5 * torch.randn(*lead, *shape, generator=generator)) for role, shape in SHAPES.items()
    }
    return [Weight(role, tensor, role) for role, tensor in tensors.items()]


def _optimizer(slot: Slot, kind: str, weights: list[Weight], **fields: object) -> torch.optim.Optimizer:
    config = example(slot, kind, **fields)
    assert isinstance(config, OptimizerConfig)
    return config.build(weights)


def _descend(weights: list[Weight], optimizer: torch.optim.Optimizer, steps: int, falling: bool = False) -> None:
    """Steps towards zero on half the sum of squares."""
    for step in range(steps):
        optimizer.zero_grad()
        torch.stack([0.5 * weight.tensor.square().sum() for weight in weights]).sum().backward()
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * (1 - step / steps if falling else 1)
        optimizer.step()


def check_optimizer_covers_every_weight(slot: Slot, kind: str) -> None:
    """Each weight is in one group, and each group has `peak_lr` for the loop to scale.

    Hint: put each weight into exactly one group, and give each group 'peak_lr'.
    """
    clause, weights = "check_optimizer_covers_every_weight", _weights()
    groups = _optimizer(slot, kind, weights).param_groups
    covered = [id(tensor) for group in groups for tensor in group["params"]]
    if sorted(covered) != sorted(id(weight.tensor) for weight in weights):
        raise ContractError(
            clause, slot, kind, f"{len(set(covered))} of {len(weights)} weights, {len(covered)} entries"
        )
    if not all(isinstance(group.get("peak_lr"), float) and group["peak_lr"] > 0 for group in groups):
        raise ContractError(clause, slot, kind, "a group has no 'peak_lr'")


def check_optimizer_descends(slot: Slot, kind: str) -> None:
    """On a quadratic it brings every weight down to a tenth, whatever its role.

    Hint: step against the gradient, at group['lr'], for every role of weight.
    """
    weights = _weights()
    before = [weight.tensor.square().sum().item() for weight in weights]
    _descend(weights, _optimizer(slot, kind, weights), 500, falling=True)
    for weight, start in zip(weights, before, strict=True):
        if not (end := weight.tensor.square().sum().item()) < 0.1 * start:
            raise ContractError("check_optimizer_descends", slot, kind, f"{weight.role}: from {start:.3g} to {end:.3g}")


def check_optimizer_resumes_bitwise(slot: Slot, kind: str) -> None:
    """Its state_dict, written and read, goes on with the bits of a run that was never interrupted.

    Hint: keep all state in self.state, as tensors and numbers, none in other attributes.
    """
    weights = _weights()
    optimizer = _optimizer(slot, kind, weights)
    _descend(weights, optimizer, 4)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    copies = [Weight(w.name, nn.Parameter(w.tensor.detach().clone()), w.role) for w in weights]
    resumed = _optimizer(slot, kind, copies)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    _descend(weights, optimizer, 4)
    _descend(copies, resumed, 4)
    for weight, other in zip(weights, copies, strict=True):
        if not torch.equal(weight.tensor, other.tensor):
            raise ContractError("check_optimizer_resumes_bitwise", slot, kind, f"{weight.role} differs after resuming")


def check_optimizer_steps_members_alone(slot: Slot, kind: str) -> None:
    """A stacked weight moves as its members would by themselves.

    Hint: take no norm or mean over a whole stacked weight: the last dimensions are one member's; or declare
    `population: ClassVar[bool] = False`.
    """
    if not example(slot, kind).population:
        return
    together = _weights(members=MEMBERS)
    alone = [
        [Weight(w.name, nn.Parameter(copy.deepcopy(w.tensor.detach()[i])), w.role) for w in together]
        for i in range(MEMBERS)
    ]
    _descend(together, _optimizer(slot, kind, together), 5)
    for i, own in enumerate(alone):
        _descend(own, _optimizer(slot, kind, own), 5)
        for stacked, weight in zip(together, own, strict=True):
            if not torch.allclose(stacked.tensor[i], weight.tensor, rtol=1e-4, atol=1e-5):
                message = f"{weight.role}: member {i} moves otherwise than alone"
                raise ContractError("check_optimizer_steps_members_alone", slot, kind, message)


CLAUSES: dict[str, tuple[Clause, ...]] = {
    "loss": (
        check_loss_is_a_finite_mean,
        check_loss_prefers_the_truth,
        check_loss_is_cross_entropy_when_neutral,
        check_loss_of_member_equals_alone,
    ),
    "schedule": (check_schedule_stays_a_share, check_schedule_warms_up, check_schedule_rescales),
    "optimizer": (
        check_optimizer_covers_every_weight,
        check_optimizer_descends,
        check_optimizer_resumes_bitwise,
        check_optimizer_steps_members_alone,
    ),
}
