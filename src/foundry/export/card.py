"""What an export says of itself: a model card for people, the ledger's rows for programs. May not: know weights."""

from __future__ import annotations

from typing import Any

from foundry import __version__
from foundry.core import yaml_io
from foundry.documents.runs import PromotionRow, RunShown
from foundry.export.folder import OWN, Contents


def facts(run: RunShown, promotions: list[PromotionRow], made: Contents, more: dict[str, Any]) -> dict[str, Any]:
    """foundry.json. `model` is the recipe's model as it was written, in plainer parts where it says the same."""
    row = run.to_dict()
    for gone in ("curve", "files", "folder"):
        del row[gone]
    return {
        "foundry": __version__,
        "format": made.format,
        "model": made.model.model_dump(mode="json"),
        **more,
        "run": row,
        "promotions": [each.to_dict() for each in promotions],
    }


def card(run: RunShown, promotions: list[PromotionRow], made: Contents, parameters: int) -> str:
    """README.md."""
    tags = "---\nlibrary_name: transformers\npipeline_tag: text-generation\nlicense: unknown\ntags: [foundry]\n---\n"
    recipe = yaml_io.updated("", run.content)
    own = made.format == OWN
    trust = ", trust_remote_code=True" if own else ""
    needs = (
        "No class of transformers computes this model, so it is loaded by code in this folder, which needs "
        "`pip install foundry-train`.\n\n"
        if own
        else ""
    )
    lines = [
        f"# {run.name or run.recipe[:12]}",
        "",
        f"A language model of {parameters:,} parameters, trained by Foundry: recipe `{run.recipe}`, run `{run.run}`.",
        "",
        f"{needs}    from transformers import AutoModelForCausalLM, AutoTokenizer",
        f'    model = AutoModelForCausalLM.from_pretrained("."{trust})    # {made.architecture}',
        f'    tokenizer = AutoTokenizer.from_pretrained("."{trust})',
        "",
        "## What it scored",
        *(_score(each.split, each.bpb, each.bytes) for each in run.scores),
        *(() if run.scores else ("- never judged",)),
        *(_promoted(each) for each in promotions if each.kind == "promote"),
        "- Whether that holds at another scale was not measured.",
        "",
        "## What it was trained on",
        f"- Corpus: `{run.content['data']['source']}`; training tokens `{run.data_hash}`, "
        f"judged text `{run.judged_hash}`",
        f"- Seed {run.seed}, {run.tokens or 0:,} tokens, {run.flops or 0:.4g} FLOPs, on {run.device}",
        f"- Code: `{run.code.code}`; foundry.json has the fingerprint of each file of it",
        f"- Texts of up to {made.model.context:,} tokens; `<|document|>` (id 0) begins one",
        "- Licence: unset; whoever publishes this says which",
        "",
        "## Recipe",
        *(f"    {line}".rstrip() for line in recipe.splitlines()),
    ]
    return tags + "\n".join(lines) + "\n"


def _score(split: str, bpb: float, size: int) -> str:
    return f"- {bpb:.4f} bits per byte on {size:,} bytes of the {split} split"


def _promoted(entry: PromotionRow) -> str:
    interval = "" if entry.interval_bpb is None else " (95% interval {:.4f} to {:.4f})".format(*entry.interval_bpb)
    gain = (
        "" if entry.effect_bpb is None else f": {entry.effect_bpb:+.4f} bits per byte{interval}, over {entry.n} pairs"
    )
    sealed = entry.record.test_bpb
    test = (
        f"; on the sealed test split {sealed[0]:.4f} → {sealed[1]:.4f}"
        if sealed and sealed[0] is not None and sealed[1] is not None
        else ""
    )
    since = "" if entry.reverted_unix is None else "; reverted since"
    return f"- Promoted as `{entry.mutation}` ({entry.promotion[:12]}){gain}{test}{since}"
