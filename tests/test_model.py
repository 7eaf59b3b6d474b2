"""The model: equal to an independent reference, right with a population axis, counted, refused clearly."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foundry.core.errors import RequestError
from foundry.core.section import validate
from foundry.model import GPT, ModelConfig, count_parameters, flops_per_token, initialise, weights
from foundry.modules import activation, attention, optimizer, position
from foundry.population import stack, unstack

torch.set_num_threads(1)

VOCAB = 23


def config(**fields: Any) -> ModelConfig:
    values: dict[str, Any] = {
        "layers": 2,
        "width": 32,
        "context": 16,
        "attention": {"kind": "gqa", "heads": 4},
        "norm": "layernorm",
        "activation": "gelu",
        "position": "learned",
    }
    return validate(ModelConfig, {**values, **fields}, "model")


def model(seed: int = 0, **fields: Any) -> GPT:
    made = GPT(config(**fields), VOCAB)
    initialise(made, seed)
    return made


def ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(VOCAB, shape, generator=torch.Generator().manual_seed(seed))


class Reference(nn.Module):
    """GPT-2 without biases, in plain torch, reading the same parameters by name."""

    def __init__(self, own: dict[str, Tensor], layers: int, heads: int) -> None:
        super().__init__()
        self.own, self.layers, self.heads = own, layers, heads

    def forward(self, tokens: Tensor) -> Tensor:
        own, (rows, time) = self.own, tokens.shape
        x = own["embedding.weight"][tokens] + own["position.weight"][:time]
        future = torch.ones(time, time, dtype=torch.bool).triu(1)
        for i in range(self.layers):
            at = f"blocks.{i}."
            h = F.layer_norm(x, x.shape[-1:], own[at + "attention_norm.gain"])
            q, k, v = (
                (h @ own[f"{at}attention.heads.{name}.weight"].T).view(rows, time, self.heads, -1).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            scores = (q @ k.transpose(2, 3)) / q.shape[-1] ** 0.5
            mixed = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
            x = x + mixed.transpose(1, 2).reshape(x.shape) @ own[at + "attention.out.weight"].T
            h = F.layer_norm(x, x.shape[-1:], own[at + "activation_norm.gain"])
            h = h @ own[at + "activation.up.weight"].T
            x = x + (0.5 * h * (1 + torch.erf(h / 2**0.5))) @ own[at + "activation.down.weight"].T
        return F.layer_norm(x, x.shape[-1:], own["norm.gain"]) @ own["head.weight"].T


@pytest.mark.parametrize("tied", [True, False])
def test_the_classical_model_equals_an_independent_reference(tied: bool) -> None:
    ours = model(tied=tied, init_std=0.2)
    theirs = Reference(dict(ours.named_parameters(remove_duplicate=False)), layers=2, heads=4)
    assert torch.allclose(ours(ids(3, 16)), theirs(ids(3, 16)), atol=2e-5)


def test_initial_values_depend_on_seed_and_name_only() -> None:
    one, again, other, wide = model(), model(), model(1), model(activation="swiglu")
    for name, tensor in one.named_parameters():
        assert torch.equal(tensor, again.get_parameter(name))
        if tensor.ndim == 2:
            assert not torch.equal(tensor, other.get_parameter(name))
    assert torch.equal(one.get_parameter("blocks.1.attention.heads.key.weight"),
                       wide.get_parameter("blocks.1.attention.heads.key.weight"))  # fmt: skip


def test_what_writes_into_the_stream_starts_smaller_by_depth() -> None:
    made = model(layers=8, width=128)
    out, matrix = (
        made.get_parameter("blocks.0.attention.out.weight"),
        made.get_parameter("blocks.0.attention.heads.query.weight"),
    )
    assert out.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert matrix.std().item() == pytest.approx(0.02, rel=0.05)


def test_roles_survive_copying_and_stacking() -> None:
    made = model()
    roles = {weight.name: weight.role for weight in weights(made)}
    assert set(roles.values()) == {"embedding", "matrix", "out", "gain"}
    for other in (copy.deepcopy(made), stack([made, made]), unstack(stack([made]), 0)):
        assert {weight.name: weight.role for weight in weights(other)} == roles


@pytest.mark.parametrize("fields", [
    {}, {"tied": False, "softcap": 3.0}, {"position": "rope", "norm": "qknorm", "values": "residual"},
    {"position": "alibi", "activation": "swiglu", "values": "embeddings", "residual": "start"},
])  # fmt: skip
def test_member_of_a_stack_gives_the_logits_and_gradients_it_gives_alone(fields: dict[str, Any]) -> None:
    alone = [model(seed, init_std=0.2, **fields) for seed in range(3)]
    together = stack(alone)
    assert together.members == 3 and together.config.tied == (together.head.weight is together.embedding.weight)
    tokens = ids(3, 2, 16)
    logits = together(tokens)
    logits.square().mean((1, 2, 3)).sum().backward()
    for i, one in enumerate(alone):
        own = one(tokens[i])
        own.square().mean().backward()
        assert torch.allclose(logits[i], own, atol=1e-4)
        assert torch.allclose(together(tokens[i])[i], own, atol=1e-4)  # ids shared by all members
        for name, tensor in one.named_parameters():
            assert tensor.grad is not None
            gradient = together.get_parameter(name).grad
            assert gradient is not None and torch.allclose(gradient[i], tensor.grad, atol=1e-5)


def test_unstacking_gives_back_what_was_stacked() -> None:
    alone = [model(seed) for seed in range(2)]
    for i, one in enumerate(alone):
        again = unstack(stack(alone), i)
        assert again.members is None and again.head.weight is again.embedding.weight
        assert again.state_dict().keys() == one.state_dict().keys()
        assert all(torch.equal(again.state_dict()[name], value) for name, value in one.state_dict().items())


def test_models_of_different_structure_are_not_stacked() -> None:
    with pytest.raises(ValueError, match=r"member 1 differs .* blocks\.0\.activation"):
        stack([model(), model(activation="swiglu")])
    with pytest.raises(ValueError, match="stack can't be a member"):
        stack([stack([model()])])


@pytest.mark.parametrize("kind", attention.SLOT.kinds())
@pytest.mark.parametrize("block", activation.SLOT.kinds())
def test_flops_are_what_torch_counts(kind: str, block: str) -> None:
    sizes = config(attention={"kind": kind, "heads": 4}, activation=block, position="rope", tied=False)
    made = GPT(sizes, VOCAB)
    initialise(made, 0)
    # the fused attention kernels have no formula on the CPU; their matrix products do
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        made(ids(2, sizes.context)).sum().backward()
    assert 2 * sizes.context * flops_per_token(sizes, VOCAB) == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_counted_once(tied: bool) -> None:
    sizes = config(tied=tied)
    own = 2 * (4 * 32 * 32 + 2 * 4 * 32 * 32 + 2 * 32) + 32 + 16 * 32 + VOCAB * 32 * (1 if tied else 2)
    assert count_parameters(sizes, VOCAB) == own


@pytest.mark.parametrize("kind", activation.SLOT.kinds())
def test_activation_kinds_cost_the_same_parameters(kind: str) -> None:
    plain = count_parameters(config(width=128), VOCAB)
    assert count_parameters(config(width=128, activation=kind), VOCAB) == pytest.approx(plain, rel=0.02)


@pytest.mark.parametrize(("fields", "path", "said"), [
    ({"attention": {"kind": "gqa", "heads": 3}}, "model.attention.heads", ["3 heads", "width 32"]),
    ({"attention": {"kind": "gqa", "heads": 4, "kv_heads": 3}}, "model.attention.kv_heads", ["3 key/value", "4 heads"]),
    ({"attention": {"kind": "gqa", "heads": 0}}, "model.attention.heads", ["greater than or equal to 1"]),
    ({"attention": {"kind": "gqqa", "heads": 4}}, "model.attention", ["no 'gqqa'", "did you mean 'gqa'"]),
    ({"attention": {"kind": "gqa", "heads": 32}, "position": "rope"}, "model.position.kind", ["head dim 1 is odd"]),
    ({"norm": {"kind": "layernorm", "epsilon": 1e-5}}, "model.norm.epsilon", ["did you mean 'eps'"]),
    ({"width": "32"}, "model.width", ["valid integer"]),
    ({"init_std": float("nan")}, "model.init_std", ["finite"]),
    ({"attention": {"kind": "mla", "heads": 4}, "values": "residual"}, "model.values", ["'mla' has none"]),
    ({"head_init": "zero"}, "model.head_init", ["tied"]),
    ({"widht": 32}, "model.widht", ["did you mean 'width'"]),
])  # fmt: skip
def test_what_does_not_fit_is_refused_at_its_path(fields: dict[str, Any], path: str, said: list[str]) -> None:
    with pytest.raises(RequestError) as caught:
        config(**fields)
    assert caught.value.path == path
    assert all(words in str(caught.value) for words in said), str(caught.value)


@pytest.mark.parametrize("where", position.SLOT.kinds())
def test_order_of_tokens_matters(where: str) -> None:
    made = model(position=where, init_std=0.2)
    one = made(torch.tensor([[1, 2, 3]]))[0, -1]
    assert not torch.allclose(one, made(torch.tensor([[2, 1, 3]]))[0, -1], atol=1e-3) or where == "none"


def test_rotation_gives_scores_that_depend_on_distance_only() -> None:
    rope = position.SLOT.parse("rope").build(32, 4, 8, 64)  # type: ignore[attr-defined]
    q, k = torch.randn(2, 1, 1, 1, 8)
    near = rope.rotate(q, 7) @ rope.rotate(k, 3).mT
    assert torch.allclose(near, rope.rotate(q, 47) @ rope.rotate(k, 43).mT, atol=1e-5)
    assert not torch.allclose(near, rope.rotate(q, 8) @ rope.rotate(k, 3).mT, atol=1e-3)


def test_rotation_in_other_types_is_the_same_rotation() -> None:
    rope = position.SLOT.parse("rope").build(32, 4, 8, 64)  # type: ignore[attr-defined]
    x = torch.randn(2, 4, 10, 8)
    assert torch.allclose(rope.rotate(x.double(), 3).float(), rope.rotate(x, 3), atol=1e-6)
    assert torch.allclose(rope.rotate(x.bfloat16(), 3).float(), rope.rotate(x, 3), atol=0.05)


def test_alibi_slopes_are_those_of_its_paper() -> None:
    from foundry.modules.position.alibi import head_slopes

    assert head_slopes(8) == [2.0**-i for i in range(1, 9)]
    assert head_slopes(12)[8:] == [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]


def test_as_many_key_heads_as_heads_is_multi_head_attention() -> None:
    one, other = model(), model(attention={"kind": "gqa", "heads": 4, "kv_heads": 4})
    assert torch.equal(one(ids(2, 8)), other(ids(2, 8)))


def test_a_shared_key_head_equals_its_copies() -> None:
    shared = model(attention={"kind": "gqa", "heads": 4, "kv_heads": 2}, init_std=0.2)
    full = model(init_std=0.2)
    own = {name: tensor.detach().clone() for name, tensor in shared.state_dict().items()}
    for name in list(own):
        if name.endswith(("key.weight", "value.weight")):
            own[name] = own[name].unflatten(0, (2, 8)).repeat_interleave(2, 0).flatten(0, 1)
    full.load_state_dict(own)
    assert torch.allclose(shared(ids(2, 16)), full(ids(2, 16)), atol=1e-5)


def test_dropout_acts_in_training_only() -> None:
    made = model(dropout=0.5, init_std=0.2)
    assert not torch.equal(made(ids(1, 8)), made(ids(1, 8)))
    made.eval()
    assert torch.equal(made(ids(1, 8)), made(ids(1, 8)))


@pytest.mark.parametrize(("fields", "name"), [
    ({"out_init": "zero"}, "blocks.1.attention.out.weight"),
    ({"out_init": "zero"}, "blocks.0.activation.down.weight"),
    ({"head_init": "zero", "tied": False}, "head.weight"),
])  # fmt: skip
def test_zero_initialised_weights_start_at_zero_and_learn(fields: dict[str, Any], name: str) -> None:
    made = model(**fields)
    weight = made.get_parameter(name)
    assert not weight.any()
    F.cross_entropy(made(ids(2, 8)).flatten(0, 1), ids(2, 8, seed=1).flatten()).backward()
    assert weight.grad is not None and weight.grad.any()


def test_softcap_bounds_the_logits_and_keeps_their_order() -> None:
    plain, capped = model(init_std=0.5, tied=False), model(init_std=0.5, tied=False, softcap=2.0)
    logits, bent = plain(ids(2, 8)), capped(ids(2, 8))
    assert logits.abs().max() > 4 and bent.abs().max() < 2
    assert torch.allclose(bent, 2 * torch.tanh(logits / 2), atol=1e-5)


def test_a_sliding_window_hides_what_lies_before_it() -> None:
    made = model(layers=1, attention={"kind": "sliding", "heads": 4, "window": 3}, position="none", init_std=0.3)
    tokens = ids(1, 10)
    other = tokens.clone()
    other[0, 4] = (other[0, 4] + 1) % VOCAB
    same = (made(tokens) - made(other)).abs().amax(-1)[0] < 1e-5
    assert same.tolist() == [True] * 4 + [False] * 3 + [True] * 3


def test_every_nth_layer_of_a_sliding_model_may_see_all() -> None:
    made = model(layers=2, attention={"kind": "sliding", "heads": 4, "window": 1, "full_every": 2}, init_std=0.3)
    tokens = ids(1, 10)
    other = tokens.clone()
    other[0, 0] = (other[0, 0] + 1) % VOCAB
    assert not torch.allclose(made(tokens)[0, -1], made(other)[0, -1], atol=1e-5)


def test_value_residual_blends_in_the_first_layers_values() -> None:
    plain, blended = model(init_std=0.3), model(init_std=0.3, values={"kind": "residual", "share": 0.5})
    assert blended.values is not None
    with torch.no_grad():
        blended.values.get_parameter("blend").zero_()
    assert torch.equal(plain(ids(1, 8)), blended(ids(1, 8)))
    with torch.no_grad():  # all of the first layer's and nothing of one's own
        blended.values.get_parameter("blend").fill_(2.0)
        blended.get_parameter("blocks.1.attention.heads.value.weight").zero_()
    assert not torch.allclose(plain(ids(1, 8)), blended(ids(1, 8)), atol=1e-3)
    assert torch.isfinite(blended(ids(1, 8))).all()


def test_value_embeddings_sit_in_the_last_layer_and_every_second_before_it() -> None:
    made = model(layers=5, values="embeddings")
    tables = {name for name, _ in made.named_parameters() if name.startswith("values.tables")}
    assert tables == {f"values.tables.{layer}.weight" for layer in (0, 2, 4)}


def test_parts_that_declare_it_are_not_stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(config().activation), "population", False)
    with pytest.raises(ValueError, match="activation: declared to train alone"):
        stack([model()])


@pytest.mark.parametrize("kind", optimizer.SLOT.kinds())
def test_every_optimizer_lets_the_model_learn_a_batch_by_heart(kind: str) -> None:
    made, tokens = model(), ids(4, 17)
    config = optimizer.SLOT.parse({"kind": kind, "lr": {"lion": 3e-3}.get(kind, 1e-2)})
    assert isinstance(config, optimizer.OptimizerConfig)
    stepper = config.build(weights(made))
    losses = []
    for _ in range(80):
        loss = F.cross_entropy(made(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        losses.append(loss.item())
        loss.backward()
        stepper.step()
        stepper.zero_grad()
    assert losses[-1] < 0.2 * losses[0]
