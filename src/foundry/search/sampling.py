"""`sample RUN PROMPT`: text from a trained run."""

from __future__ import annotations

from typing import Any

from foundry.core.errors import WorkError
from foundry.recipe import Recipe
from foundry.runs import queries
from foundry.runs.engine import run_folder


def sample(run: str, prompt: str, tokens: int, temperature: float, top_k: int, seed: int) -> dict[str, Any]:
    """{"run", "prompt", "text"}. Raises RequestError for an unknown run or prompt, WorkError without weights."""
    import torch

    from foundry.data.prepare import prepare
    from foundry.model import GPT
    from foundry.sample import generate
    from foundry.train.checkpoint import load_weights

    row = queries.run(run)
    folder = run_folder(row["run"])
    if not (folder / "checkpoint").is_dir():
        raise WorkError("sample.no_weights", str(folder), "this run has no weights", hint="train it first")
    recipe = Recipe.load(folder / "recipe.yaml")
    data = prepare(recipe.data, lambda line: None)
    tokenizer = data.tokenizer()
    model = GPT(recipe.model, data.vocab_size)
    load_weights(folder / "checkpoint", model)
    ids = torch.from_numpy(tokenizer.encode(prompt or "\n").astype("int64"))[None]
    with torch.inference_mode():
        out = generate(model.eval(), ids, tokens, temperature, top_k, torch.Generator().manual_seed(seed))
    return {"run": row["run"], "prompt": prompt, "text": tokenizer.decode(out[0].tolist())}
