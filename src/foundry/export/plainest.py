"""The same function in the plainest parts: what a branch is scaled by goes into the matrix before it, a norm without a
gain gets one of ones, a window that nobody reaches goes. May not: change a logit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from foundry.core.section import validate
from foundry.model import GPT, ModelConfig

BRANCHES = {"attention": "attention.out.weight", "activation": "activation.down.weight"}
"""Of a layer: branch → the matrix that writes it into the stream."""


def plainest(model: ModelConfig, ours: Mapping[str, Tensor]) -> tuple[ModelConfig, dict[str, Tensor]]:
    """The config and the weights, copied where they change."""
    plain: dict[str, Any] = {**model.model_dump(mode="json"), "dropout": 0.0}
    weights = dict(ours)
    scales = {"layerscale": getattr(model.residual, "scale", None), "depth": 1 / math.sqrt(2 * model.layers)}
    if (scale := scales.get(model.residual.kind)) is not None and all(
        f"blocks.{i}.{matrix}" in weights for i in range(model.layers) for matrix in BRANCHES.values()
    ):
        for i in range(model.layers):
            for branch, matrix in BRANCHES.items():
                gain = weights.pop(f"blocks.{i}.{branch}_residual.gain", None)
                rows = scale if gain is None else scale * gain[:, None]
                weights[f"blocks.{i}.{matrix}"] = weights[f"blocks.{i}.{matrix}"] * rows
        plain["residual"] = {"kind": "plain"}
    plain["attention"] = model.attention.alike(model.context, model.layers, 1).model_dump(mode="json")
    if "gain" in plain["norm"]:
        plain["norm"]["gain"] = True
    made = validate(ModelConfig, plain, "model")
    with torch.device("meta"):
        gains = {name: tensor.shape for name, tensor in GPT(made, 1).named_parameters() if name.endswith("norm.gain")}
    for name, shape in gains.items():
        weights.setdefault(name, torch.ones(shape))
    return made, weights
