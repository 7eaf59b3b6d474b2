"""How programs reach the command line: `foundry` itself, and the original commands (`sweep.py` and its like) from
whatever Python they are run with.

May not: import anything that isn't in the standard library before it knows that the rest is installed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).resolve().parents[3]


def open_door(command: str) -> NoReturn:
    """Run `foundry COMMAND` on this process's arguments, in the project's .venv where this Python lacks its needs."""
    if not all(importlib.util.find_spec(name) for name in ("typer", "torch", "pydantic")):
        python = REPOSITORY / ".venv" / "bin" / "python"
        if not python.exists() or os.environ.get("FOUNDRY_DOOR") == "open":
            sys.exit(
                f"[install.missing] {sys.executable}: Foundry's dependencies are not installed; run `make install`"
            )
        os.environ["FOUNDRY_DOOR"] = "open"  # so that a broken .venv is an error and not an endless loop
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")])
        )
        os.execv(python, [str(python), "-m", "foundry", command, *sys.argv[1:]])
    sys.exit(main([command, *sys.argv[1:]]))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; Ctrl-C is one line also in the second that it takes to load."""
    try:
        from foundry.interface import cli
    except KeyboardInterrupt:
        sys.stderr.write("[interrupted] interrupted before anything was begun\n")
        return 130
    code = cli.main(argv)
    if "TORCHELASTIC_RUN_ID" in os.environ:  # one of torchrun's processes
        from foundry.train.distributed import leave

        leave(code)
    return code
