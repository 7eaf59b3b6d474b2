"""What people read of models that leave and come in: documents in sentences. May not: compute."""

from __future__ import annotations

from foundry.documents import exports
from foundry.interface.terminal import console, table


def targets(document: exports.ExportTargets) -> None:
    rows = [(each.format, each.architecture, each.why_not or "yes") for each in document.targets]
    table(
        f"run {document.run[:12]} of {document.name or document.recipe[:12]}", ("format", "class", "computes it"), rows
    )


def exported(document: exports.Exported) -> None:
    size = sum(document.files.values()) / 1e6
    console.print(
        f"{document.folder}: run {document.run[:12]} as {document.architecture}, {document.parameters:,} parameters, "
        f"{document.dtype}, {size:.1f} MB"
    )
    if document.needs_foundry:
        console.print(
            "No class of transformers computes this model (--list says why): loading it takes foundry-train and "
            "trust_remote_code=True."
        )
    verified = document.verified
    if verified is None:
        console.print("Not verified: pip install 'foundry-train[hf]', then --verify.")
    else:
        console.print(
            f"{'Verified' if verified.ok else 'IT DOES NOT HOLD'}: loaded by transformers {verified.transformers}, "
            f"logits differ by {verified.max_logit_difference:.2g} at most (limit {verified.limit:.2g}), "
            f"{verified.greedy_tokens} greedy tokens {'equal' if verified.greedy_equal else 'differ'}, "
            f"ids of a text {'equal' if verified.ids_equal else 'differ'}."
        )
    console.print(f"Next: {' · '.join(document.next)}")


def imported(document: exports.Imported) -> None:
    console.print(
        f"{document.file}: a recipe that begins with {document.parameters:,} weights of a {document.format} model, "
        f"in {document.weights} ({document.hash[:12]})"
    )
    console.print(f"Next: {' · '.join(document.next)}")
