"""Clauses for the parts that a model is built of: attention, norm, activation, position, values, residual.

Each part is tried in layers whose other parts are plain. Shapes: P population (may be absent), B batch, T time,
D width. May not: know any kind by name but the plain ones.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foundry.contract.clause import Clause, ContractError, example
from foundry.core.slot import Slot
from foundry.modules import activation, attention, layers, norm, position, residual, values
from foundry.modules.attention import AttentionConfig
from foundry.modules.forward_context import Cache, Side
from foundry.modules.norm import NormConfig
from foundry.modules.stacking import stack
from foundry.modules.values import ValueSizes

BATCH, TIME, CONTEXT, WIDTH, MEMBERS, LAYERS, VOCAB = 3, 11, 16, 32, 3, 2, 2
PLAIN = {
    "attention": "gqa",
    "norm": "rmsnorm",
    "activation": "gelu",
    "position": "none",
    "values": "plain",
    "residual": "plain",
}
SLOTS = {module.SLOT.name: module.SLOT for module in (attention, norm, activation, position, values, residual)}


class Layers(nn.Module):
    """Two layers around the part on trial: x [P?, B, T, D] → same. Ids are the signs of the first channel."""

    def __init__(self, slot: Slot, kind: str) -> None:
        super().__init__()
        made = {name: example(SLOTS[name], kind if name == slot.name else plain) for name, plain in PLAIN.items()}
        mixer, normalise = made["attention"], made["norm"]
        assert isinstance(mixer, AttentionConfig) and isinstance(normalise, NormConfig)
        sizes = mixer.value_sizes(WIDTH, LAYERS, VOCAB) or ValueSizes(VOCAB, LAYERS, 1, 1)
        build = {name: getattr(config, "build") for name, config in made.items()}  # noqa: B009
        self.position = build["position"](WIDTH, mixer.heads, mixer.head_dim(WIDTH), CONTEXT)
        self.values = build["values"](sizes)
        self.attention = nn.ModuleList([mixer.build(WIDTH, i, normalise) for i in range(LAYERS)])
        self.activation = nn.ModuleList([build["activation"](WIDTH) for _ in range(LAYERS)])
        self.norm = nn.ModuleList([build["norm"](WIDTH) for _ in range(2 * LAYERS)])
        self.residual = nn.ModuleList([build["residual"](WIDTH, LAYERS) for _ in range(2 * LAYERS)])

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        ids = (x[..., 0] > 0).long()
        side = Side(ids, self.position, cache.length if cache else 0, cache, self.values)
        x = start = self.position.embed(x, side.offset)
        for i in range(LAYERS):
            x = self.residual[2 * i](x, self.attention[i](self.norm[2 * i](x), side), start)
            x = self.residual[2 * i + 1](x, self.activation[i](self.norm[2 * i + 1](x)), start)
        if cache is not None:
            cache.length += x.shape[-2]
        return x


def layers_with(slot: Slot, kind: str, seed: int = 0) -> Layers:
    """Layers with random weights, gains near 1."""
    module = Layers(slot, kind)
    generator = torch.Generator().manual_seed(seed)
    for tensor in module.parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        tensor.data = 1 + 0.1 * noise if layers.role_of(tensor) == "gain" else 0.2 * noise
    return module


def stream(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*(shape or (BATCH, TIME)), WIDTH, generator=torch.Generator().manual_seed(seed))


def check_shape_is_kept(slot: Slot, kind: str) -> None:
    """[B, T, D] → [B, T, D], for a single row, a single token and a full context too.

    Hint: return x's own shape for every number of rows and every length up to the context.
    """
    module = layers_with(slot, kind)
    for shape in ((BATCH, TIME), (1, 1), (1, CONTEXT), (BATCH, 1)):
        y = module(stream(*shape))
        if y.shape != (*shape, WIDTH):
            raise ContractError("check_shape_is_kept", slot, kind, f"{[*shape, WIDTH]} became {list(y.shape)}")


def check_no_gradient_from_the_future(slot: Slot, kind: str) -> None:
    """The gradient of token t's output by the input of later tokens is exactly 0; by its own it isn't.

    Hint: a token may read itself and earlier tokens only: attend through modules.sdpa.attend, pad convolutions on the
    left, and take no sum, mean, maximum or norm over time that isn't cumulative.
    """
    clause = "check_no_gradient_from_the_future"
    module = layers_with(slot, kind)
    for t in (0, TIME // 2, TIME - 1):
        x = stream().requires_grad_()
        (slope,) = torch.autograd.grad(module(x)[:, t].sin().sum(), x)
        if slope[:, t + 1 :].any():
            raise ContractError(clause, slot, kind, f"output at {t} depends on tokens after it")
        if not slope[:, t].any():
            raise ContractError(clause, slot, kind, f"output at {t} doesn't depend on its own token")


def check_future_does_not_show(slot: Slot, kind: str) -> None:
    """Other tokens, or none, after a cut leave the outputs before it as they were.

    Hint: a token may read itself and earlier tokens only: attend through modules.sdpa.attend, pad convolutions on the
    left, and take no sum, mean, maximum or norm over time that isn't cumulative.
    """
    module, x = layers_with(slot, kind), stream()
    y = module(x)
    for cut in (1, TIME // 2, TIME - 1):
        other = torch.cat((x[:, :cut], 10 * stream(seed=2)[:, cut:]), 1)
        _close("check_future_does_not_show", slot, kind, f"others after {cut}", module(other)[:, :cut], y[:, :cut])
        _close("check_future_does_not_show", slot, kind, f"none after {cut}", module(x[:, :cut]), y[:, :cut])


def check_rows_are_independent(slot: Slot, kind: str) -> None:
    """A row's output is the same alone, and in another order.

    Hint: take no statistics over the batch: no row's result may depend on its neighbours.
    """
    module, x = layers_with(slot, kind), stream()
    y = module(x)
    _close("check_rows_are_independent", slot, kind, "rows reversed", module(x.flip(0)).flip(0), y)
    for row in range(BATCH):
        _close("check_rows_are_independent", slot, kind, f"row {row} alone", module(x[row : row + 1])[0], y[row])


def check_tokens_are_independent(slot: Slot, kind: str) -> None:
    """The part itself treats each token by itself (norm, activation).

    Hint: norms and activations work on the last dimension only; tokens meet in attention.
    """
    module = getattr(layers_with(slot, kind), slot.name)[0]
    x = stream()
    alone = torch.cat([module(x[:, t : t + 1]) for t in range(TIME)], 1)
    _close("check_tokens_are_independent", slot, kind, "each token alone", alone, module(x))


def check_gradients_are_finite(slot: Slot, kind: str) -> None:
    """Outputs and gradients are finite for zero, small, ordinary and large inputs; every parameter has one.

    Hint: let every parameter take part in the output, and keep divisions, roots and logarithms away from zero (an eps).
    """
    clause = "check_gradients_are_finite"
    for scale in (0.0, 1e-4, 1.0, 100.0):
        module, x = layers_with(slot, kind), (scale * stream()).requires_grad_()
        y = module(x)
        y.sin().sum().backward()
        for name, value in {"output": y, "input": x.grad, **{n: p.grad for n, p in module.named_parameters()}}.items():
            if value is None or not torch.isfinite(value).all():
                message = "no gradient" if value is None else f"not finite at inputs of scale {scale}"
                raise ContractError(clause, slot, kind, f"{name}: {message}")
            if scale == 1.0 and not value.any():
                raise ContractError(clause, slot, kind, f"{name}: the gradient is 0 everywhere")


def check_member_equals_alone(slot: Slot, kind: str) -> None:
    """Member i of a population gives the outputs and gradients that it gives alone.

    Hint: index trailing dimensions only, shape vectors by layers.along_last; or declare `population: ClassVar[bool] =
    False` in Config, and runs train one at a time.
    """
    clause = "check_member_equals_alone"
    if not example(slot, kind).population:
        return
    members = [layers_with(slot, kind, seed) for seed in range(MEMBERS)]
    together = stack(members)
    x = stream(MEMBERS, BATCH, TIME).requires_grad_()
    y = together(x)
    y.sin().sum().backward()
    stacked = dict(together.named_parameters())
    for i, member in enumerate(members):
        own = x[i].detach().requires_grad_()
        alone = member(own)
        alone.sin().sum().backward()
        _close(clause, slot, kind, f"output of member {i}", y[i], alone)
        _close(clause, slot, kind, f"input gradient of member {i}", x.grad, own.grad, member=i)
        for name, tensor in member.named_parameters():
            _close(clause, slot, kind, f"gradient of {name}, member {i}", stacked[name].grad, tensor.grad, member=i)


def check_nothing_is_kept_between_calls(slot: Slot, kind: str) -> None:
    """The same input gives the same bits whatever was computed before, in training and in evaluation.

    Hint: assign nothing to self in forward; draw nothing at random in evaluation.
    """
    clause = "check_nothing_is_kept_between_calls"
    module, x = layers_with(slot, kind), stream()
    before = {name: value.clone() for name, value in [*module.named_parameters(), *module.named_buffers()]}
    first = module(x)
    module(stream(seed=5))
    module(stream(1, CONTEXT))
    for name, again in {"again": module(x), "evaluation": module.eval()(x), "a copy": copy.deepcopy(module)(x)}.items():
        if not torch.equal(first, again):
            raise ContractError(clause, slot, kind, f"another output ({name})")
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if name not in before or not torch.equal(before[name], value):
            raise ContractError(clause, slot, kind, f"{name} changed in the forward pass")


def check_cache_changes_nothing(slot: Slot, kind: str) -> None:
    """Read in pieces with a cache, tokens give what they give read at once.

    Hint: what later tokens need of earlier ones must go through side.remember(layer, …), and positions must start at
    side.offset.
    """
    module, x = layers_with(slot, kind), stream()
    for pieces in ((TIME,), (1,) * TIME, (4, 1, TIME - 5)):
        cache = Cache()
        y = torch.cat([module(piece, cache) for piece in x.split(pieces, 1)], 1)
        _close("check_cache_changes_nothing", slot, kind, f"in pieces of {pieces}", y, module(x))


def check_bf16_is_finite(slot: Slot, kind: str) -> None:
    """In bf16, by autocast and by cast, outputs are finite and near those of fp32.

    Hint: compute norms, exponentials and long sums in float32 (x.float()) and cast the result back.
    """
    module, x = layers_with(slot, kind), stream()
    exact = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = module(x)
    for name, y in {"autocast": mixed, "cast": module.bfloat16()(x.bfloat16())}.items():
        _close("check_bf16_is_finite", slot, kind, name, y.float(), exact, tolerance=0.1)


def check_flops_are_counted(slot: Slot, kind: str) -> None:
    """What the part says it costs is what torch's counter sees, forward and backward, within 1%.

    Hint: matrix products outside of parts.Linear belong into mixing_flops_per_token, or into flops_per_token of the
    module that makes them.
    """
    config, module = example(slot, kind), layers_with(slot, kind)
    said = 3 * CONTEXT * layers.flops_of(module)
    mixer = config if isinstance(config, AttentionConfig) else example(attention.SLOT, PLAIN["attention"])
    assert isinstance(mixer, AttentionConfig)
    said += 3 * LAYERS * CONTEXT * mixer.mixing_flops_per_token(WIDTH, CONTEXT)
    # the fused kernels' formulas are missing on some devices; their matrix products are seen on all
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        module(stream(1, CONTEXT).requires_grad_()).sum().backward()
    seen = counter.get_total_flops()
    if abs(said - seen) > 0.01 * seen:
        raise ContractError("check_flops_are_counted", slot, kind, f"says {said}, torch counts {seen}")


def check_builds_without_memory(slot: Slot, kind: str) -> None:
    """It can be built on the meta device, as the check of a recipe's sizes does.

    Hint: make parameters with parts.Linear, parts.Embedding or parts.parameter, buffers with register_buffer, and
    compute nothing from their values in __init__.
    """
    with torch.device("meta"):
        Layers(slot, kind)


def _close(
    clause: str, slot: Slot, kind: str, what: str, got: Tensor | None, want: Tensor | None, member: int | None = None,
    tolerance: float = 1e-4,
) -> None:  # fmt: skip
    """Raises unless both are there and equal up to `tolerance` times the largest value."""
    if got is None or want is None:
        raise ContractError(clause, slot, kind, f"{what}: missing")
    got = got if member is None else got[member]
    gap, size = (got - want).abs().max().item(), want.abs().max().item()
    if not gap <= tolerance * max(size, 1.0):
        raise ContractError(clause, slot, kind, f"{what}: off by {gap:.2g} where values reach {size:.2g}")


EVERYWHERE: tuple[Clause, ...] = (
    check_builds_without_memory,
    check_shape_is_kept,
    check_no_gradient_from_the_future,
    check_future_does_not_show,
    check_rows_are_independent,
    check_gradients_are_finite,
    check_member_equals_alone,
    check_nothing_is_kept_between_calls,
    check_cache_changes_nothing,
    check_bf16_is_finite,
    check_flops_are_counted,
)
CLAUSES: dict[str, tuple[Clause, ...]] = {
    "attention": EVERYWHERE,
    "position": EVERYWHERE,
    "values": EVERYWHERE,
    "residual": EVERYWHERE,
    "norm": (*EVERYWHERE, check_tokens_are_independent),
    "activation": (*EVERYWHERE, check_tokens_are_independent),
}
