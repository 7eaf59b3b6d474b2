"""The table of classes of transformers that compute what a recipe's model computes: what each takes and why not, its
config, and which of our weights each of its weights is. THE place to add one. May not: import transformers.

A row was found by equal logits (tests/export), and holds up to the context's end: beyond it our models end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch

from foundry.core.slots import SLOTS
from foundry.export.weights import STACKED, TRANSPOSED, Weight, by_head, halves
from foundry.model import ModelConfig
from foundry.modules.feedforward import Gated, Plain

ACTS = {"swiglu": "silu", "glu": "sigmoid", "gelu": "gelu", "relu2": "relu2"}
GATED, UNGATED = ("swiglu", "glu"), ("gelu", "relu2")


@dataclass(frozen=True)
class Target:
    """One class. takes: slot → kinds; also: what else stands in the way, "" for nothing; config: their sizes, of a
    model and the embedding's size; weights: of a model, all but its head."""

    name: str
    architecture: str
    takes: dict[str, tuple[str, ...]]
    config: Callable[[ModelConfig], dict[str, Any]]
    weights: Callable[[ModelConfig], Iterator[Weight]]
    embedding: str
    head: str = "lm_head.weight"
    also: Callable[[ModelConfig], str] = lambda model: ""

    def why_not(self, model: ModelConfig) -> str:
        """What of a model, in its plainest parts, has no place in this class; "" where all has."""
        if model.code:
            return f"model.code: '{model.code}' is a whole model of the workspace's"
        for slot in SLOTS:
            if slot.section == "model":
                kind, taken = getattr(model, slot.field_name).kind, self.takes.get(slot.name, ("plain",))
                if kind not in taken or not slot.is_builtin(kind):
                    return f"{slot.at}: {kind} has no place in it, {' or '.join(taken)} has"
        if model.softcap:
            return f"model.softcap: {model.softcap:g} has no place in it, 0 has"
        return self.also(model)

    def full_config(self, model: ModelConfig, vocab_size: int, dtype: str) -> dict[str, Any]:
        """config.json."""
        return {
            "architectures": [self.architecture],
            "vocab_size": vocab_size,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "tie_word_embeddings": model.tied,
            "initializer_range": model.init_std,
            "dtype": dtype,
            **self.config(model),
        }

    def table(self, model: ModelConfig) -> Iterator[Weight]:
        """Every weight of the class, a tied head not."""
        yield Weight(self.embedding, ("embedding.weight",))
        yield from self.weights(model)
        if not model.tied:
            yield Weight(self.head, ("head.weight",))


def hidden(model: ModelConfig) -> int:
    """F of the feed-forward block."""
    with torch.device("meta"):
        return cast("Plain | Gated", model.activation.build(model.width)).up.outputs


def _kv_heads(model: ModelConfig) -> int:
    return cast(Any, model.attention).groups()


def _eps(model: ModelConfig) -> float:
    return cast(Any, model.norm).eps


def _sizes(kind: str, model: ModelConfig, eps: str, **more: Any) -> dict[str, Any]:
    """What the classes that follow Llama call its sizes."""
    theta = cast(Any, model.position).base
    return {
        "model_type": kind,
        "hidden_size": model.width,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.attention.heads,
        "intermediate_size": hidden(model),
        "max_position_embeddings": model.context,
        "hidden_act": ACTS[model.activation.kind],
        eps: _eps(model),
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "attention_dropout": 0.0,
        **more,
    }


def _grouped(kind: str, model: ModelConfig, eps: str, **more: Any) -> dict[str, Any]:
    heads = {"num_key_value_heads": _kv_heads(model), "head_dim": model.attention.head_dim(model.width)}
    return _sizes(kind, model, eps, **heads, attention_bias=False, **more)


def _windows(model: ModelConfig) -> dict[str, Any]:
    """Which layers see how far."""
    sliding = cast(Any, model.attention)
    if model.attention.kind != "sliding":
        return {"sliding_window": None, "layer_types": ["full_attention"] * model.layers}
    full = [sliding.full_every > 0 and (i + 1) % sliding.full_every == 0 for i in range(model.layers)]
    kinds = ["full_attention" if each else "sliding_attention" for each in full]
    return {"sliding_window": sliding.window, "layer_types": kinds}


def _wide_enough(model: ModelConfig) -> str:
    window = getattr(model.attention, "window", 2)
    return "" if window > 1 else "model.attention.window: its cache keeps nothing of a window of 1"


def _like_llama(model: ModelConfig, mlp: dict[str, str], bias: bool = False, qk: bool = False) -> Iterator[Weight]:
    """What Llama and those after it have in common. mlp: its matrices → ours; bias: norms have one, of zeros."""
    turned = {"query": halves(model.attention.heads), "key": halves(_kv_heads(model))}
    for i in range(model.layers):
        there, here = f"model.layers.{i}", f"blocks.{i}"
        for ours in ("query", "key", "value"):
            name = f"{here}.attention.heads.{ours}.weight"
            yield Weight(f"{there}.self_attn.{ours[0]}_proj.weight", (name,), turned.get(ours, STACKED))
        yield Weight(f"{there}.self_attn.o_proj.weight", (f"{here}.attention.out.weight",))
        for ours in ("query", "key") if qk else ():
            name = f"{here}.attention.heads.{ours}_norm.gain"
            yield Weight(f"{there}.self_attn.{ours[0]}_norm.weight", (name,), halves(1))
        for theirs, ours in mlp.items():
            yield Weight(f"{there}.mlp.{theirs}.weight", (f"{here}.activation.{ours}.weight",))
        yield from _norm(f"{there}.input_layernorm", f"{here}.attention_norm", model, bias)
        yield from _norm(f"{there}.post_attention_layernorm", f"{here}.activation_norm", model, bias)
    yield from _norm("model.norm", "norm", model, bias)


def _norm(theirs: str, ours: str, model: ModelConfig, bias: bool) -> Iterator[Weight]:
    yield Weight(f"{theirs}.weight", (f"{ours}.gain",))
    if bias:
        yield Weight(f"{theirs}.bias", (), zeros=model.width)


THREE = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down"}
TWO = {"up_proj": "up", "down_proj": "down"}


def _gpt2_config(model: ModelConfig) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "n_embd": model.width,
        "n_layer": model.layers,
        "n_head": model.attention.heads,
        "n_positions": model.context,
        "n_inner": hidden(model),
        "activation_function": ACTS[model.activation.kind],
        "layer_norm_epsilon": _eps(model),
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0),
    }


def _gpt2_weights(model: ModelConfig) -> Iterator[Weight]:
    yield Weight("transformer.wpe.weight", ("position.weight",))
    for i in range(model.layers):
        there, here = f"transformer.h.{i}", f"blocks.{i}"
        made = {
            "attn.c_attn": tuple(f"{here}.attention.heads.{name}.weight" for name in ("query", "key", "value")),
            "attn.c_proj": (f"{here}.attention.out.weight",),
            "mlp.c_fc": (f"{here}.activation.up.weight",),
            "mlp.c_proj": (f"{here}.activation.down.weight",),
        }
        outputs = {"attn.c_attn": 3 * model.width, "mlp.c_fc": hidden(model)}
        for theirs, ours in made.items():
            yield Weight(f"{there}.{theirs}.weight", ours, TRANSPOSED)
            yield Weight(f"{there}.{theirs}.bias", (), zeros=outputs.get(theirs, model.width))
        yield from _norm(f"{there}.ln_1", f"{here}.attention_norm", model, bias=True)
        yield from _norm(f"{there}.ln_2", f"{here}.activation_norm", model, bias=True)
    yield from _norm("transformer.ln_f", "norm", model, bias=True)


def _one_key_a_head(model: ModelConfig) -> str:
    if _kv_heads(model) == model.attention.heads:
        return ""
    return f"model.attention.kv_heads: {_kv_heads(model)} for {model.attention.heads} heads, and it has one for each"


def _mpt_config(model: ModelConfig) -> dict[str, Any]:
    return {
        "model_type": "mpt",
        "d_model": model.width,
        "n_layers": model.layers,
        "n_heads": model.attention.heads,
        "expansion_ratio": 4,
        "max_seq_len": model.context,
        "layer_norm_epsilon": _eps(model),
        "no_bias": True,
        "attn_config": {"alibi": True, "alibi_bias_max": 8, "attn_pdrop": 0},
    }


def _mpt_weights(model: ModelConfig) -> Iterator[Weight]:
    for i in range(model.layers):
        there, here = f"transformer.blocks.{i}", f"blocks.{i}"
        qkv = tuple(f"{here}.attention.heads.{name}.weight" for name in ("query", "key", "value"))
        yield Weight(f"{there}.attn.Wqkv.weight", qkv)
        yield Weight(f"{there}.attn.out_proj.weight", (f"{here}.attention.out.weight",))
        yield Weight(f"{there}.ffn.up_proj.weight", (f"{here}.activation.up.weight",))
        yield Weight(f"{there}.ffn.down_proj.weight", (f"{here}.activation.down.weight",))
        yield from _norm(f"{there}.norm_1", f"{here}.attention_norm", model, bias=False)
        yield from _norm(f"{there}.norm_2", f"{here}.activation_norm", model, bias=False)
    yield from _norm("transformer.norm_f", "norm", model, bias=False)


def _mpt_also(model: ModelConfig) -> str:
    if hidden(model) != 4 * model.width:
        return f"model.activation.ratio: {model.activation.ratio:g} has no place in it, 4 has"
    return _one_key_a_head(model)


def _latent_sizes(model: ModelConfig) -> tuple[int, int, int]:
    """Channels of a head, of its turned part, of the latent."""
    mla = cast(Any, model.attention)
    return model.width // mla.heads, mla.head_dim(model.width), mla.latent or max(1, model.width // 2)


def _deepseek_config(model: ModelConfig) -> dict[str, Any]:
    head_dim, position_dim, latent = _latent_sizes(model)
    return _sizes(
        "deepseek_v3",
        model,
        "rms_norm_eps",
        num_key_value_heads=model.attention.heads,
        kv_lora_rank=latent,
        q_lora_rank=None,
        qk_nope_head_dim=head_dim,
        qk_rope_head_dim=position_dim,
        v_head_dim=head_dim,
        first_k_dense_replace=model.layers,
        rope_interleave=True,
        attention_bias=False,
        num_nextn_predict_layers=0,
    )


def _deepseek_weights(model: ModelConfig) -> Iterator[Weight]:
    for i in range(model.layers):
        there, here = f"model.layers.{i}.self_attn", f"blocks.{i}.attention"
        yield Weight(f"{there}.q_proj.weight", (f"{here}.query.weight",))
        yield Weight(f"{there}.kv_a_proj_with_mqa.weight", (f"{here}.latent.weight", f"{here}.shared_key.weight"))
        yield Weight(f"{there}.kv_a_layernorm.weight", (f"{here}.latent_norm.gain",))
        both = f"{here}.key.weight", f"{here}.value.weight"
        yield Weight(f"{there}.kv_b_proj.weight", both, by_head(model.attention.heads))
        yield Weight(f"{there}.o_proj.weight", (f"{here}.out.weight",))
        there, here = f"model.layers.{i}", f"blocks.{i}"
        for theirs, ours in THREE.items():
            yield Weight(f"{there}.mlp.{theirs}.weight", (f"{here}.activation.{ours}.weight",))
        yield from _norm(f"{there}.input_layernorm", f"{here}.attention_norm", model, bias=False)
        yield from _norm(f"{there}.post_attention_layernorm", f"{here}.activation_norm", model, bias=False)
    yield from _norm("model.norm", "norm", model, bias=False)


def _deepseek_also(model: ModelConfig) -> str:
    return "" if _eps(model) == 1e-6 else f"model.norm.eps: its latent's norm has 1e-06, not {_eps(model):g}"


def _takes(attention: tuple[str, ...], norm: str, activation: tuple[str, ...], position: str = "rope") -> Any:
    return {"attention": attention, "norm": (norm,), "activation": activation, "position": (position,)}


GQA, WINDOWED = ("gqa",), ("gqa", "sliding")
EMBEDDING = "model.embed_tokens.weight"

TARGETS: tuple[Target, ...] = (
    Target(
        "gpt2",
        "GPT2LMHeadModel",
        _takes(GQA, "layernorm", UNGATED, "learned"),
        _gpt2_config,
        _gpt2_weights,
        "transformer.wte.weight",
        also=_one_key_a_head,
    ),
    Target(
        "llama",
        "LlamaForCausalLM",
        _takes(GQA, "rmsnorm", GATED),
        lambda model: _grouped("llama", model, "rms_norm_eps", mlp_bias=False),
        lambda model: _like_llama(model, THREE),
        EMBEDDING,
    ),
    Target(
        "qwen3",
        "Qwen3ForCausalLM",
        _takes(WINDOWED, "qknorm", GATED),
        lambda model: _grouped(
            "qwen3", model, "rms_norm_eps", use_sliding_window=model.attention.kind == "sliding", **_windows(model)
        ),
        lambda model: _like_llama(model, THREE, qk=True),
        EMBEDDING,
        also=_wide_enough,
    ),
    Target(
        "arcee",
        "ArceeForCausalLM",
        _takes(GQA, "rmsnorm", UNGATED),
        lambda model: _grouped("arcee", model, "rms_norm_eps", mlp_bias=False),
        lambda model: _like_llama(model, TWO),
        EMBEDDING,
    ),
    Target(
        "ministral",
        "MinistralForCausalLM",
        _takes(("sliding",), "rmsnorm", GATED),
        lambda model: _grouped("ministral", model, "rms_norm_eps", **_windows(model)),
        lambda model: _like_llama(model, THREE),
        EMBEDDING,
        also=_wide_enough,
    ),
    Target(
        "starcoder2",
        "Starcoder2ForCausalLM",
        _takes(GQA, "layernorm", UNGATED),
        lambda model: _grouped(
            "starcoder2", model, "norm_epsilon", use_bias=False, residual_dropout=0.0, embedding_dropout=0.0
        ),
        lambda model: _like_llama(model, {"c_fc": "up", "c_proj": "down"}, bias=True),
        EMBEDDING,
    ),
    Target(
        "stablelm",
        "StableLmForCausalLM",
        _takes(GQA, "layernorm", GATED),
        lambda model: {
            **_grouped("stablelm", model, "layer_norm_eps", partial_rotary_factor=1.0, use_qkv_bias=False),
            "use_parallel_residual": False,
            "qk_layernorm": False,
            "hidden_dropout": 0.0,
        },
        lambda model: _like_llama(model, THREE, bias=True),
        EMBEDDING,
    ),
    Target(
        "mpt",
        "MptForCausalLM",
        _takes(GQA, "layernorm", ("gelu",), "alibi"),
        _mpt_config,
        _mpt_weights,
        "transformer.wte.weight",
        also=_mpt_also,
    ),
    Target(
        "deepseek_v3",
        "DeepseekV3ForCausalLM",
        _takes(("mla",), "rmsnorm", GATED),
        _deepseek_config,
        _deepseek_weights,
        EMBEDDING,
        also=_deepseek_also,
    ),
)
