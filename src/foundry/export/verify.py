"""Whether a folder computes what the run does, asked of transformers in a process of its own. May not: write to it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foundry.core import places
from foundry.core.errors import RequestError, WorkError
from foundry.data.tokenizer import DOCUMENT, Tokenizer
from foundry.documents.exports import Verification
from foundry.export.loaded import QUESTIONS, TENSORS
from foundry.model import GPT, ModelConfig

LIMITS = {"fp32": 1e-4, "bf16": 0.02}
"""Largest difference of a logit; of bf16, whose weights are rounded, as a share of the largest logit."""
ROWS, NEW_TOKENS = 2, 48
TEXT = "To be, or not to be.\n\tΣ 日本語の文 🤖🏳️‍🌈 <|document|> <|endoftext|>  two  spaces\r\n\x00 end "


def is_installed() -> bool:
    return importlib.util.find_spec("transformers") is not None


def must_be_installed(option: str) -> None:
    if not is_installed():
        hint = "pip install 'foundry-train[hf]'"
        raise RequestError("export.no_transformers", option, "transformers is not installed", hint=hint)


def questions(model: GPT, tokenizer: Tokenizer) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a folder must answer as this model and its tokenizer do: logits of random ids, a greedy text and how sure
    the model was of each token of it, ids of a text that it can hold."""
    draw = torch.Generator().manual_seed(0)
    context, size = model.config.context, model.vocab_size
    ids = torch.randint(size, (ROWS, context), generator=draw)
    text = _held(tokenizer)
    prompt = torch.tensor([tokenizer.encode(text).tolist()[: max(1, context // 2)]])
    new = max(0, min(NEW_TOKENS, context - prompt.shape[1]))
    model.eval()
    with torch.inference_mode():
        logits, continued, margins = model(ids), prompt, []
        for _ in range(new):
            last = model(continued)[0, -1]
            best = last.topk(2)
            margins.append(float(best.values[0] - best.values[1]))
            continued = torch.cat((continued, best.indices[None, :1]), 1)
    asked = {
        "prompt": prompt[0].tolist(),
        "continued": continued[0].tolist(),
        "margins": margins,
        "text": text,
        "ids": tokenizer.encode(text).tolist(),
    }
    return asked, {"ids": ids.numpy(), "logits": logits.float().numpy()}


def _held(tokenizer: Tokenizer) -> str:
    """`TEXT`, or of an alphabet that lacks some of it every character."""
    try:
        tokenizer.encode(TEXT)
    except RequestError:
        return tokenizer.decode(np.arange(DOCUMENT + 1, tokenizer.vocab_size))
    return TEXT


def verify(
    folder: Path, model: ModelConfig, ours: Mapping[str, Tensor], tokenizer: Tokenizer, dtype: str
) -> Verification:
    """Raises WorkError where transformers can't load it at all."""
    started = time.perf_counter()
    gpt = GPT(model, tokenizer.vocab_size)
    for name, parameter in gpt.named_parameters():
        parameter.data.copy_(ours[name])
    asked, tensors = questions(gpt, tokenizer)
    with tempfile.TemporaryDirectory(prefix="foundry-verify-") as name:
        room = Path(name)
        (room / QUESTIONS).write_text(json.dumps(asked))
        np.savez(room / TENSORS, ids=tensors["ids"], logits=tensors["logits"])
        apart = {"HF_HOME": name, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
        command = [sys.executable, "-P", "-m", "foundry.export.loaded", str(folder.absolute()), name]
        done = subprocess.run(command, capture_output=True, text=True, env={**places.environment(), **apart})
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise WorkError("export.not_loaded", str(folder), f"transformers can't load it: {said}")
    found = json.loads(done.stdout.splitlines()[-1])
    limit = LIMITS[dtype] * (1 if dtype == "fp32" else float(np.abs(tensors["logits"]).max()))
    logits_hold = found["max_difference"] <= limit
    text_holds = found["greedy_equal"] or dtype != "fp32"
    return Verification(
        ok=logits_hold and text_holds and found["ids_equal"],
        max_logit_difference=found["max_difference"],
        limit=limit,
        greedy_tokens=len(asked["margins"]),
        greedy_equal=found["greedy_equal"],
        ids_equal=found["ids_equal"],
        architecture=found["architecture"],
        transformers=found["transformers"],
        seconds=round(time.perf_counter() - started, 1),
    )
