"""How to mend a part that breaks a clause of its slot's contract, one line a clause. May not: check anything."""

from __future__ import annotations

_CAUSAL = (
    "a token may read itself and earlier tokens only: attend through modules.mixing.attend, pad convolutions on the "
    "left, and take no sum, mean, maximum or norm over time that isn't cumulative"
)
_MEMBER = (
    "index trailing dimensions only and shape vectors by parts.along_last; or declare `population: ClassVar[bool] = "
    "False` in Config, and runs train one at a time"
)
MENDS: dict[str, str] = {
    "check_file_explains_itself": "begin the file with a docstring: what it is, its source, and 'May not: …'; "
    "keep it under 150 lines",
    "check_defaults_build": "give every field of Config that is your own a default value",
    "check_round_trip": "use plain fields (int, float, str, bool, list) with limits by pydantic.Field, and let "
    "unknown keys be refused",
    "check_builds_without_memory": "make parameters with parts.Linear, parts.Embedding or parts.parameter, buffers "
    "with register_buffer, and compute nothing from their values in __init__",
    "check_shape_is_kept": "return x's own shape for every number of rows and every length up to the context",
    "check_no_gradient_from_the_future": _CAUSAL,
    "check_future_does_not_show": _CAUSAL,
    "check_rows_are_independent": "take no statistics over the batch: no row's result may depend on its neighbours",
    "check_tokens_are_independent": "norms and activations work on the last dimension only; tokens meet in attention",
    "check_gradients_are_finite": "let every parameter take part in the output, and keep divisions, roots and "
    "logarithms away from zero (an eps)",
    "check_member_equals_alone": _MEMBER,
    "check_nothing_is_kept_between_calls": "assign nothing to self in forward; draw nothing at random in evaluation",
    "check_cache_changes_nothing": "what later tokens need of earlier ones must go through side.remember(layer, …), "
    "and positions must start at side.offset",
    "check_bf16_is_finite": "compute norms, exponentials and long sums in float32 (x.float()) and cast the result back",
    "check_flops_are_counted": "matrix products outside of parts.Linear belong into mixing_flops_per_token, or into "
    "flops_per_token of the module that makes them",
    "check_loss_is_a_finite_mean": "return the mean over tokens in nats, from logits.float(), without log(0)",
    "check_loss_prefers_the_truth": "the loss must fall as the right token's logit rises",
    "check_loss_is_cross_entropy_when_neutral": "correct the formula, or declare `neutral: ClassVar = None` in Config",
    "check_loss_of_member_equals_alone": "return [P] for logits [P, B, T, V], by modules.loss.member_mean; or declare "
    "`population: ClassVar[bool] = False`",
    "check_schedule_stays_a_share": "share(step, steps) is a pure function with values in (0, 1] that reaches 1",
    "check_schedule_warms_up": "rise at each of the first warmup · steps steps",
    "check_schedule_rescales": "compute from step / steps, never from an absolute number of steps",
    "check_optimizer_covers_every_weight": "put each weight into exactly one group, and give each group 'peak_lr'",
    "check_optimizer_descends": "step against the gradient, at group['lr'], for every role of weight",
    "check_optimizer_resumes_bitwise": "keep all state in self.state, as tensors and numbers, none in other attributes",
    "check_optimizer_steps_members_alone": "take no norm or mean over a whole stacked weight: the last dimensions are "
    "one member's; or declare `population: ClassVar[bool] = False`",
    "trains": "it has to train for twenty steps of a tiny model without an exception, and to stay finite",
    "judged": "see docs/judge.md: a prediction may depend on the tokens up to it in its own row, on nothing else",
    "imports": "the file has to import by itself: nothing of the workspace beside it, no network, no files",
    "stays": "the process that runs it must not be ended, and must not run out of time or memory",
}


def mend(clause: str) -> str:
    return MENDS.get(clause, "")
