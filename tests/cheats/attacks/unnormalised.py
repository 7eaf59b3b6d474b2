"""A whole-file model whose logits are all too high: read as log-probabilities, they say that everything is likely."""

from __future__ import annotations

from torch import Tensor

from foundry.model import GPT


class Model(GPT):
    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x).log_softmax(-1) + 4.0
