"""`sample RUN PROMPT`: text from a trained run, by its own tokenizer, recipe and code, whatever became of the files.

Workspace code runs in the sandbox that its training ran in. May not: train.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundry.core.errors import RunFailure, WorkError
from foundry.core.pace import now_and_then
from foundry.data.prepared import read_tokenizer
from foundry.data.tokenizer import Tokenizer
from foundry.documents.recipes import Sampled
from foundry.documents.runs import RunRow
from foundry.ledger import queries
from foundry.ledger.ledger import Ledger
from foundry.ledger.recorded_code import lay_out
from foundry.ledger.weights import Hold, are_whole, make_again, tokenizer_file, weights_folder

SECONDS = 600.0
"""Longest that workspace code may take to write a text."""
MEMORY_BYTES = 8 << 30


def sample(
    run: str,
    prompt: str,
    tokens: int,
    temperature: float,
    top_k: int,
    seed: int,
    say: Callable[[str], None] = lambda line: None,
) -> Sampled:
    """The prompt and what follows it; `say` hears how far it is. Raises RequestError for an unknown run or prompt;
    WorkError without weights, or for code that fails."""
    row = queries.run(run)
    weights = weights_folder(row.run)
    if not are_whole(row.run):
        hint = make_again(row.run)
        raise WorkError("sample.no_weights", str(weights.parent), "this run's weights are gone or torn", hint=hint)
    recipe = queries.recipe(row.recipe)
    tokenizer = tokenizer_of(row, recipe.content)
    asked = {
        "model": recipe.content["model"],
        "vocab_size": tokenizer.vocab_size,
        "checkpoint": str(weights),
        "ids": tokenizer.encode(prompt or "\n").tolist(),
        "tokens": tokens,
        "temperature": temperature,
        "top_k": top_k,
        "seed": seed,
    }
    asked["cached"] = not recipe.sources
    say(f"writing {tokens} tokens with {row.name or row.run[:12]}, seed {row.seed}")
    with Hold(row.run):
        said = _in_sandbox(asked, row.recipe, say) if recipe.sources else continued(asked, say=say)
    try:
        text = tokenizer.decode([int(id) for id in said["ids"]])
    except (TypeError, ValueError, KeyError, OverflowError):
        raise WorkError("sample.failed", row.run[:12], "the run's code returned no text") from None
    return Sampled(run=row.run, prompt=prompt, text=text)


def continued(
    asked: dict[str, Any], line: object = None, supply: object = None, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """{"ids"}: the prompt's and what follows them. Also the target of the process in the sandbox."""
    import torch

    from foundry.core.section import validate
    from foundry.model import ModelConfig, build
    from foundry.sample import generate
    from foundry.train.checkpoint import load_weights

    model = build(validate(ModelConfig, asked["model"], "model"), asked["vocab_size"])
    load_weights(Path(asked["checkpoint"]), model)
    ids, draw = torch.tensor([asked["ids"]]), torch.Generator().manual_seed(asked["seed"])
    maybe, how = now_and_then(say), (asked["temperature"], asked["top_k"], draw, asked["cached"])
    with torch.inference_mode():
        out = generate(
            model.eval(), ids, asked["tokens"], *how, lambda count: maybe(f"  {count} of {asked['tokens']} tokens")
        )
    return {"ids": out[0].tolist()}


def tokenizer_of(row: RunRow, content: dict[str, Any]) -> Tokenizer:
    """The run's own; of a time when none was kept, that of its corpus, if it is still what it was."""
    file = tokenizer_file(row.data_hash)
    if file.is_file():
        return read_tokenizer(file.read_bytes())
    from foundry.core.section import validate
    from foundry.data.config import DataConfig
    from foundry.data.prepare import prepare

    data = prepare(validate(DataConfig, content["data"], "data"), lambda line: None)
    if data.hash != row.data_hash:
        message = f"its tokenizer was not kept, and {content['data']['source']} is another text by now"
        raise WorkError("sample.other_data", row.run[:12], message, hint="restore the corpus as it was")
    return data.tokenizer()


def _in_sandbox(asked: dict[str, Any], recipe: str, say: Callable[[str], None]) -> dict[str, Any]:
    from foundry.execute.untrusted.child_handle import ChildHandle
    from foundry.execute.untrusted.choose_tier import asked_tier, tier_for
    from foundry.train import checkpoint

    for name in ("torch._dynamo", "foundry.train.worker", "foundry.sample"):  # confined, some would look for places
        importlib.import_module(name)
    with Ledger.open() as ledger:
        workspace = lay_out(ledger, recipe)
    with tempfile.TemporaryDirectory(prefix="foundry-sample-") as name:
        folder = Path(name)
        checkpoint.copy(Path(asked["checkpoint"]), folder / "weights")
        asked = {**asked, "checkpoint": str(folder / "weights")}
        target, printed = f"{__name__}:continued", folder / "printed.txt"
        tier = tier_for(asked_tier())
        say(f"  its code runs in a sandbox ({tier}), for {SECONDS:g} s at most")
        inner = ChildHandle(target, asked, folder, workspace, tier, MEMORY_BYTES, printed=printed)
        inner.hear_out(SECONDS)
        try:
            return inner.result()
        except RunFailure as failure:
            raise WorkError("sample.failed", recipe[:12], str(failure)) from None
