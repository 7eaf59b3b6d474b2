"""docs/notebook.ipynb in a real kernel, in an empty folder: `python -m clients.notebook`; needs nbclient, ipykernel."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebook.ipynb"


def main() -> int:
    nbformat: Any = import_module("nbformat")
    nbclient: Any = import_module("nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FOUNDRY_KEYS"] = f"{folder}/keys"
        nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    said = "".join(output.get("text", "") for output in outputs)
    print(
        f"{len(notebook.cells)} cells, {len(shown)} documents shown as tables; the wrong request said: {said.strip()}"
    )
    return int(len(shown) < 3 or "did you mean" not in said)


if __name__ == "__main__":
    sys.exit(main())
