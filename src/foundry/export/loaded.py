"""What a folder answers in a process that knows transformers alone: `python -m foundry.export.loaded DIR QUESTIONS_DIR`
prints it as JSON. May not: import Foundry's models (a folder in our own format does that by itself).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

QUESTIONS, TENSORS = "questions.json", "tensors.npz"
TIE = 1e-3
"""A greedy token that beat the next by less may be another, and all after it."""


def answers(folder: str, asked: dict[str, Any], ids: Any, logits: Any) -> dict[str, Any]:
    """{"max_difference", "greedy_equal", "ids_equal", …} of a folder against what the run answered."""
    import torch
    import transformers  # pyright: ignore[reportMissingImports]

    trusted = {"trust_remote_code": "auto_map" in json.loads((Path(folder) / "config.json").read_text())}
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **trusted)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, **trusted)
    prompt = torch.tensor([asked["prompt"]])
    with torch.inference_mode():
        difference = (model(torch.as_tensor(ids)).logits - torch.as_tensor(logits)).abs().max()
        how = transformers.GenerationConfig(max_new_tokens=len(asked["margins"]) or 1, do_sample=False, pad_token_id=0)
        model.generation_config = how  # else the folder's own says where a text ends
        continued = model.generate(prompt, attention_mask=torch.ones_like(prompt))
    sure = next((i for i, margin in enumerate(asked["margins"]) if margin < TIE), len(asked["margins"]))
    until = len(asked["prompt"]) + sure
    encoded = tokenizer(asked["text"], add_special_tokens=False)["input_ids"]
    return {
        "max_difference": float(difference),
        "greedy_equal": continued[0, :until].tolist() == asked["continued"][:until],
        "ids_equal": encoded == asked["ids"] and tokenizer.decode(encoded) == asked["text"],
        "architecture": type(model).__name__,
        "transformers": transformers.__version__,
    }


def main(folder: str, room: str) -> None:
    import numpy as np

    with np.load(Path(room) / TENSORS) as tensors:
        ids, logits = tensors["ids"], tensors["logits"]
    asked = json.loads((Path(room) / QUESTIONS).read_text())
    print(json.dumps(answers(folder, asked, ids, logits)))


if __name__ == "__main__":
    main(*sys.argv[1:])
