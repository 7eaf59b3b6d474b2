"""Mutations: named changes of a recipe, as data. The one place to add one is the table in `families.py`.

May not: train, judge, or import torch before a mutation is applied: listing families and naming files is instant.
"""

from foundry.mutate.apply import Written, all_variants, mutate, write
from foundry.mutate.catalogue import catalogue
from foundry.mutate.mutation import Mutation, family_of, file_name, parse, stack_of, words_of

__all__ = [
    "Mutation",
    "Written",
    "all_variants",
    "catalogue",
    "family_of",
    "file_name",
    "mutate",
    "parse",
    "stack_of",
    "words_of",
    "write",
]
