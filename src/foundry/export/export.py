"""`export RUN|RECIPE|champion --to DIR`: a trained run as a folder for transformers. May not: run workspace code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundry.core import places
from foundry.core.errors import RequestError, WorkError
from foundry.core.section import validate
from foundry.documents.exports import Exported, ExportTarget, ExportTargets
from foundry.documents.runs import PromotionShown, RecipeShown, RunRow, RunShown
from foundry.execute.sampling import tokenizer_of
from foundry.export import card, folder, verify
from foundry.export.targets import TARGETS
from foundry.ledger import queries
from foundry.ledger.weights import Hold, are_whole, make_again, weights_folder
from foundry.model import ModelConfig
from foundry.recipe import Recipe
from foundry.train import checkpoint

Say = Callable[[str], None]
CHAMPION = "champion"
MOST_LOOKED_AT = 64


def targets(name: str, baseline: Path) -> ExportTargets:
    """Each class of the table, and why it doesn't compute the model of what is named."""
    row, model, _ = _asked(name, baseline)
    why = folder.reasons(model)
    rows = (ExportTarget(format=t.name, architecture=t.architecture, why_not=why[t.name] or None) for t in TARGETS)
    own = ExportTarget(format=folder.OWN, architecture=folder.OWN_CLASS, why_not=None)
    return ExportTargets(run=row.run, recipe=row.recipe, name=row.name, targets=(*rows, own))


def export(
    name: str,
    to: Path,
    format: str,
    average: bool | None,
    dtype: str,
    check: bool | None,
    force: bool,
    baseline: Path,
    say: Say,
) -> Exported:
    """average: None for the judged weights. check: None for where transformers is installed. Raises RequestError for
    what can't be written so, WorkError for weights that are gone."""
    if check:
        verify.must_be_installed("--verify")
    row, model, content = _asked(name, baseline)
    target = folder.chosen(model, format)
    folder.check_free(to, force)
    place = weights_folder(row.run)
    has_average = (place / checkpoint.AVERAGE).is_file()
    if average and not has_average:
        raise RequestError("export.no_average", "--ema", "this run keeps no average of its weights (train.ema is 0)")
    tokenizer = tokenizer_of(row, content)
    with Hold(row.run):
        weights = checkpoint.load_weights(place, last=average is False)
    made = folder.contents(model, weights, tokenizer, target, dtype)
    shown, promotions = queries.show(row.run), queries.promotions_to(row.recipe)
    assert isinstance(shown, RunShown)
    parameters, which = sum(each.numel() for each in weights.values()), _which(average, has_average)
    told = card.facts(shown, promotions, made, {"dtype": dtype, "weights": which})
    more = {
        folder.FACTS: json.dumps(told, indent=1, ensure_ascii=False),
        "README.md": card.card(shown, promotions, made, parameters),
    }
    files = {**made.files, **{each: text.encode() for each, text in more.items()}}
    folder.write(to, files, force)
    say(f"wrote {made.architecture} to {to}")
    verified = None
    if check or (check is None and verify.is_installed()):
        say("transformers reads it in a process of its own")
        verified = verify.verify(to, model, weights, tokenizer, dtype)
    return Exported(
        folder=str(to),
        format=made.format,
        architecture=made.architecture,
        run=row.run,
        recipe=row.recipe,
        name=row.name,
        dtype=dtype,
        weights=which,
        needs_foundry=target is None,
        parameters=parameters,
        files={each: len(content) for each, content in sorted(files.items())},
        verified=verified,
        next=(f"foundry import {to}",),
    )


def _which(average: bool | None, has_average: bool) -> str:
    return "average" if has_average and average is not False else "last"


def _asked(name: str, baseline: Path) -> tuple[RunRow, ModelConfig, dict[str, Any]]:
    """The run, its model and its recipe as recorded. Raises RequestError for a recipe with code of the workspace's:
    a folder that runs somebody's code wherever it is loaded is not ours to make."""
    row = _run(name, baseline)
    recipe = queries.recipe(row.recipe)
    if recipe.sources:
        message = f"{', '.join(sorted(recipe.sources))}: code of the workspace's, which leaves with no export"
        raise RequestError("export.code", row.run[:12], message, hint="foundry adopt takes it into the package")
    return row, validate(ModelConfig, recipe.content["model"], "model"), recipe.content


def _run(name: str, baseline: Path) -> RunRow:
    """The run that is meant: itself, or the newest of a recipe that has weights. Raises RequestError, WorkError."""
    if name == CHAMPION:
        lines = queries.lineage(str(baseline))
        recipe = lines[-1].to_recipe if lines else Recipe.load(baseline).fingerprint
    elif (places.root() / name).is_file():
        recipe = Recipe.load(places.root() / name).fingerprint
    else:
        match queries.show(name):
            case RunShown() as found:
                row = queries.run(found.run)
                if not are_whole(row.run):
                    raise _no_weights(row.run, make_again(row.run))
                return row
            case RecipeShown() as found:
                recipe = found.recipe
            case PromotionShown() as found:
                recipe = found.to_recipe
            case _:
                raise RequestError("export.what", name, "a comparison is no model", hint="name a run or a recipe")
    try:
        rows = queries.log(limit=MOST_LOOKED_AT, recipe=recipe)
    except RequestError:
        rows = []
    found = next((row for row in rows if row.status in ("trained", "done") and are_whole(row.run)), None)
    if found is None:
        done = next((row for row in rows if row.status in ("trained", "done")), None)
        raise _no_weights(name, make_again(done.run) if done else f"foundry train {name} trains it")
    return found


def _no_weights(name: str, hint: str) -> WorkError:
    return WorkError("export.no_weights", name, "there are no weights of it on the disk", hint=hint)
