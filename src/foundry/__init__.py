"""Foundry: mutate → train → compare → promote → iterate. Importing this package imports nothing heavy."""

__version__ = "0.1.0"
