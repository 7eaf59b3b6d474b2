"""What people read of code in the workspace: its document in sentences. May not: compute."""

from __future__ import annotations

from pathlib import Path

from foundry.documents import recipes
from foundry.interface.terminal import console


def to_adopt(document: recipes.Adoptable) -> None:
    console.print(f"{document.from_}:\n\n{document.source}")
    for verdict in document.measured:
        effect = "" if verdict.effect_bpb is None else f", {verdict.effect_bpb:+.4g} bpb over {verdict.n} pairs"
        console.print(f"The judge measured: {verdict.verdict}{effect} ({verdict.report})")
    if not document.measured:
        console.print("The judge measured nothing of it.")
    console.print(f"What you give it: {document.trust}.")


def adopted(document: recipes.Adopted) -> None:
    part = f"{document.slot}:{document.kind}"
    console.print(f"Moved {document.from_} to {document.to}.")
    console.print(f"Recipes with {part} have a new identity now; their runs will be new.")
    console.print(f"Next: {document.commit}")


def checked(document: recipes.Checked) -> None:
    """The faults, each with what was seen and how to mend it."""
    file, kind = document.file, f"{document.slot}:{document.kind}"
    for fault in document.faults:
        line = f":{fault.line}" if fault.line else ""
        console.print(f"{file}{line}: {fault.clause}")
        for label, text in (
            ("says", " ".join(filter(None, (fault.says, f"[{fault.contract}]" if fault.contract else "")))),
            ("seen", fault.seen),
            ("mend", fault.mend),
        ):
            if text:
                console.print(f"  {label}  {text}")
    if document.printed:
        console.print(f"it printed: {document.printed}")
    held, broken = len(document.passed), len(document.faults)
    console.print(f"{kind}: {held} clauses hold, {broken} broken ({document.seconds} s, sandbox: {document.tier})")


def rebuilt(document: recipes.Rebuilt) -> None:
    folder = Path(document.workspace).parent
    console.print(f"Wrote {len(document.files)} files to {folder}.")
    console.print(f"Next: FOUNDRY_WORKSPACE={document.workspace} foundry train {folder / 'recipe.yaml'}")
