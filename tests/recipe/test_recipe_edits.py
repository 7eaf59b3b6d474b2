"""Edits: data that can be printed, inverted and stacked."""

from __future__ import annotations

import pytest

from foundry.core.errors import RequestError
from foundry.recipe import Recipe
from foundry.recipe.edits import Edit, apply, diff, overlap


def test_inverses_lead_back(recipe: Recipe) -> None:
    edits = [Edit("model.layers", 4, 6), Edit("model.position", {"kind": "learned"}, {"kind": "none"})]
    changed = apply(recipe, edits)
    assert changed.model.layers == 6 and changed.fingerprint != recipe.fingerprint
    assert apply(changed, [edit.inverse() for edit in edits]) == recipe


def test_two_claims_on_one_path_are_refused_with_both_names(recipe: Recipe) -> None:
    whole = Edit("model.position", {"kind": "learned"}, {"kind": "none"}, "position:none")
    inside = Edit("model.position.kind", "learned", "alibi", "set:x")
    for pair in ([whole, inside], [inside, whole], [inside, inside]):
        with pytest.raises(RequestError, match=r"mutate.conflict.*both claim model\.position") as caught:
            apply(recipe, pair)
        assert all(edit.by in str(caught.value) for edit in pair)


def test_a_path_that_only_begins_alike_is_no_conflict() -> None:
    assert overlap("model.norm", "model.norm.eps") and overlap("a", "a")
    assert not overlap("model.norm", "model.normal") and not overlap("a.b", "a.c")


def test_an_edit_made_for_another_recipe_is_refused(recipe: Recipe) -> None:
    with pytest.raises(RequestError, match=r"mutate.stale.*from 5, and 4 is there"):
        apply(recipe, [Edit("model.layers", 5, 6)])


def test_a_refused_edit_changes_nothing(recipe: Recipe) -> None:
    before = recipe.to_dict()
    with pytest.raises(RequestError, match=r"model\.layers"):
        apply(recipe, [Edit("train.ema", 0.0, 0.5), Edit("model.layers", 4, -1)])
    assert recipe.to_dict() == before


def test_a_difference_is_the_edits_that_lead_over_it(recipe: Recipe) -> None:
    kv_heads = Edit("model.attention.kv_heads", 4, 2)
    position = Edit("model.position", {"kind": "learned"}, {"kind": "rope", "base": 10000.0})
    other = apply(recipe, [kv_heads, position], name="other")
    assert diff(recipe.to_dict(), other.to_dict()) == [kv_heads, position]
    assert diff(recipe.to_dict(), recipe.to_dict()) == []
