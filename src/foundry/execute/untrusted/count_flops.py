"""What a model that this project didn't write costs, counted by torch while it runs once. May not: ask the model."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foundry.model import ModelConfig, build, weights


def measured(config: ModelConfig, vocab_size: int) -> dict[str, Any]:
    """{"flops_per_token", "parameters"}: training FLOPs per token at full context, as `model.flops_per_token` means
    them, from the matrix products of one forward pass; work that is no matrix product of torch's is not seen."""
    model = build(config, vocab_size)
    ids = torch.zeros(1, config.context, dtype=torch.int64)
    # the fused kernels' formulas are missing on some devices; their matrix products are seen on all
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model.eval()(ids)
    forward = counter.get_total_flops() / config.context
    return {
        "flops_per_token": max(1, round(3 * forward)),
        "parameters": sum(weight.tensor.numel() for weight in weights(model)),
    }
