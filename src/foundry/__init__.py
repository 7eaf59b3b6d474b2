"""Foundry: mutate → train → compare → promote → iterate. Importing this package imports nothing heavy.

project = foundry.Project(".")       # every command is a method of it, and answers with what `--json` prints
project.train("experiments/baseline.yaml").val_bpb
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundry.core.errors import FoundryError
    from foundry.interface.api import Project

__version__ = "0.1.0"
__all__ = ["FoundryError", "Project", "__version__"]

# Read when numpy is first imported. Its matrices are small here, and idle BLAS threads spin: on a busy machine a solve
# of 130 unknowns took 0.2 s with two threads, and 1 ms with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_PUBLIC = {"FoundryError": "foundry.core.errors", "Project": "foundry.interface.api"}


def __getattr__(name: str) -> Any:
    """What is public, imported when it is first asked for."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'foundry' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
