"""Mutation + recipe → recipe, its edits, its file. May not: let one mutation of a stack see what another did."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foundry.core import yaml_io
from foundry.core.errors import FoundryError, RequestError
from foundry.core.files import write_atomic
from foundry.core.paths import get_path
from foundry.documents.recipes import Mutated
from foundry.mutate.families import FAMILIES
from foundry.mutate.mutation import Change, Mutation, file_name, parse

if TYPE_CHECKING:  # the recipe's room imports torch, and listing families must not
    from foundry.recipe import Recipe
    from foundry.recipe.edits import Edit

NO_EFFECT = "mutate.no_effect"
_MAX_NAME = 200  # characters of a recipe's name


def mutate(recipe: Recipe, mutation: Mutation | str) -> tuple[Recipe, list[Edit]]:
    """The mutated recipe, named after the mutation, and the edits that made it; no edits when nothing changed.

    Every change is computed against `recipe` as it is, so their order means nothing, and the edits' inverses lead
    back. Raises RequestError: a family or variant that isn't there, two changes that claim one path (both are named),
    a result that isn't a recipe, a change that does nothing beside the others, or one that no run would feel.
    """
    from foundry.recipe import edits

    mutation = parse(mutation) if isinstance(mutation, str) else mutation
    values = recipe.to_dict()
    claims = [edit for change in mutation.changes for edit in _claims(values, change)]
    label = None if any(edit.path == "name" for edit in claims) else str(mutation)
    try:
        result = edits.apply(recipe, claims, label and label[:_MAX_NAME])
    except FoundryError as error:
        error.message += f" [in mutation {mutation}]" if error.code != "mutate.conflict" else ""
        raise
    after = result.to_dict()
    made = [
        edits.Edit(edit.path, edit.old, get_path(after, edit.path), edit.by)  # a part given in short is spelled out
        for edit in claims
        if edit.path != "name" and get_path(after, edit.path) != edit.old
    ]
    if result.fingerprint != recipe.fingerprint:
        _check_effect(recipe, result, mutation, claims)
    return result, made


def _check_effect(recipe: Recipe, result: Recipe, mutation: Mutation, claims: list[Edit]) -> None:
    """Raises RequestError for a change without which the result would train as it does: it would be tried and credited
    for nothing. A label is none."""
    from foundry.recipe import edits
    from foundry.recipe.effective import effective

    for change in mutation.changes:
        others = [edit for edit in claims if edit.by != str(change)]
        if all(edit.path == "name" for edit in claims if edit.by == str(change)):
            continue
        try:
            without = edits.apply(recipe, others) if others else recipe
        except FoundryError:
            continue  # the others don't fit without it
        if effective(without) == effective(result):
            raise no_effect(str(change))


def no_effect(change: str) -> RequestError:
    """Of a change that no run would feel."""
    message = "changes no run here: what it sets is there already, or makes no difference beside the rest"
    return RequestError(NO_EFFECT, change, message, got=change, hint="drop it")


def all_variants(recipe: Recipe) -> list[str]:
    """Every named `family:variant` that fits `recipe`, those that would change nothing too."""
    texts = [f"{family.name}:{variant}" for family in FAMILIES.values() for variant in family.named()]
    return [text for text in texts if _fits(recipe, text)]


@dataclass(frozen=True)
class Written:
    """A mutated recipe on disk."""

    file: Path
    baseline: Path
    mutation: Mutation
    recipe: Recipe
    edits: list[Edit]

    @property
    def document(self) -> Mutated:
        return Mutated(
            file=str(self.file),
            baseline=str(self.baseline),
            mutation=str(self.mutation),
            recipe=self.recipe.fingerprint,
            edits=tuple(edit.document for edit in self.edits),
        )


def write(baseline: Path, mutation: Mutation | str, experiments: Path, *, force: bool = False) -> Written:
    """Write the mutated recipe as `experiments`/`file_name`, with the comments of the recipe it comes from.

    A file that is there and was edited by hand since it was written is refused, unless `force`. Raises RequestError.
    """
    from foundry.recipe import Recipe

    mutation = parse(mutation) if isinstance(mutation, str) else mutation
    recipe = Recipe.load(baseline)
    result, edits = mutate(recipe, mutation)
    path = experiments / file_name(mutation)
    if path.exists() and not force and not _is_as_written(path):
        hint = "move it away, or use --force"
        raise RequestError("mutate.edited_file", str(path), "edited by hand since it was written", hint=hint)
    body = yaml_io.updated(_body(yaml_io.read_text(baseline)), result.to_dict())
    changes = [str(edit) for edit in edits] or ["no change"]
    header = [f"{mutation} of {baseline.name}, recipe {recipe.fingerprint}", *changes, f"{_SEAL} {_digest(body)}"]
    write_atomic(path.resolve(), "".join(f"# {' '.join(line.split())}\n" for line in header) + "\n" + body)
    return Written(path, baseline, mutation, result, edits)


_SEAL = "Written by `foundry mutate`, which writes it anew unless somebody has edited it:"
_HEADER = re.compile(rf"(?:#.*\n)*?# {re.escape(_SEAL)} (\w+)\n\n")


def _is_as_written(path: Path) -> bool:
    """Whether the file's text is still the one whose digest its header gives."""
    text = yaml_io.read_text(path).replace("\r\n", "\n")
    header = _HEADER.match(text)
    return header is not None and _digest(_body(text)) == header[1]


def _body(text: str) -> str:
    """A file's text without the header of an earlier mutation, its lines ended in the plain way."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    header = _HEADER.match(text)
    return text[header.end() :] if header else text


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _claims(values: dict, change: Change) -> list[Edit]:
    from foundry.recipe.edits import Edit

    claims = FAMILIES[change.family].claims(values, change.variant)
    return [Edit(path, get_path(values, path), new, str(change)) for path, new in claims.items()]


def _fits(recipe: Recipe, text: str) -> bool:
    try:
        mutate(recipe, text)
    except RequestError:
        return False
    return True
