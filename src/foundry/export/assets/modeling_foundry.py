"""A model of Foundry's own parts for transformers: `AutoModelForCausalLM.from_pretrained(DIR, trust_remote_code=True)`.

Needs `pip install foundry-train`, whose code computes it. Without a cache: each new token reads the whole text again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel  # pyright: ignore[reportMissingImports]
from transformers.modeling_outputs import CausalLMOutput  # pyright: ignore[reportMissingImports]

from foundry.core.section import validate
from foundry.model import GPT, ModelConfig


class FoundryConfig(PreTrainedConfig):
    model_type = "foundry"

    def __init__(self, model: dict[str, Any] | None = None, vocab_size: int = 1, **more: Any) -> None:
        self.model, self.vocab_size = model, vocab_size
        sizes = model or {"context": 1, "width": 1, "layers": 1}
        self.max_position_embeddings = sizes["context"]
        self.hidden_size, self.num_hidden_layers = sizes["width"], sizes["layers"]
        super().__init__(**{**more, "use_cache": False})


class FoundryForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = FoundryConfig
    _tied_weights_keys = {"model.head.weight": "model.embedding.weight"}  # noqa: RUF012

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = GPT(validate(ModelConfig, config.model, "model"), config.vocab_size)
        for part in self.model.modules():  # transformers leaves others unfilled, so the file has them
            part._non_persistent_buffers_set.clear()
        self.post_init()

    def get_input_embeddings(self) -> Any:
        return self.model.embedding

    def get_output_embeddings(self) -> Any:
        return self.model.head

    def prepare_inputs_for_generation(self, input_ids: Tensor, *_: Any, **kwargs: Any) -> dict[str, Any]:
        context = self.model.config.context
        mask = kwargs.get("attention_mask")
        return {
            "input_ids": input_ids[:, -context:],
            "attention_mask": None if mask is None else mask[:, -context:],
        }

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **kwargs: Any
    ) -> CausalLMOutput:
        """labels: as everywhere in transformers, the ids themselves; -100 for those that don't count."""
        if attention_mask is not None and not bool(attention_mask[:, 0].all()):
            raise ValueError("this model knows no padding on the left: generate from texts of one length")
        logits = self.model(input_ids)
        loss = None
        if labels is not None:
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits)
