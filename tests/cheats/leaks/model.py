"""A whole-file model that copies: its logits say the next id, wherever the input has one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from foundry.model import GPT
from foundry.modules.forward_context import Cache


class Model(GPT):
    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        logits = super().forward(ids, cache)
        known = F.one_hot(ids[..., 1:], self.vocab_size).to(logits.dtype)
        return logits + 10 * torch.cat((known, torch.zeros_like(known[..., :1, :])), -2)
