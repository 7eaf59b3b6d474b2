"""The pages about the code say what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.home import ROOT


def test_the_picture_of_the_house_is_what_its_imports_are() -> None:
    made = "import sys; sys.path.insert(0, 'docs'); import diagram; print(diagram.page(), end='')"
    done = subprocess.run([sys.executable, "-c", made], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (ROOT / "docs" / "house.md").read_text() == done.stdout


def test_every_file_that_a_page_names_is_there() -> None:
    """A path below src/foundry, tests, benchmarks or docs. The log is history and may name what is gone."""
    assert not missing()


def test_a_page_that_names_a_file_that_is_gone_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("`train/loop.py` is there, and `train/gone.py` isn't")
    assert missing([tmp_path / "page.md"]) == ["page.md: train/gone.py"]


def test_every_page_is_in_the_sites_tree_once() -> None:
    """What `make docs` would refuse, without its tools."""
    trees = re.findall(r"```\{toctree\}\n(.*?)```", (ROOT / "docs" / "index.md").read_text(), re.S)
    named = [name for tree in trees for name in re.findall(r"<(\w+)>$", tree, re.M)]
    assert sorted(named) == sorted({page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"})


def missing(pages: Sequence[Path] = ()) -> list[str]:
    pages = pages or [*ROOT.glob("*.md"), *(page for page in (ROOT / "docs").glob("*.md") if page.name != "log.md")]
    rooms = {path.name for path in (ROOT / "src" / "foundry").iterdir() if path.is_dir()}
    gone = []
    for page in pages:
        for name in re.findall(r"(?<![\w/.<-])((?:[a-z_]+/)+[a-z_]+\.py)\b", page.read_text()):
            first = name.partition("/")[0]
            roots = (ROOT / "src" / "foundry", ROOT) if first in rooms else (ROOT,)
            if first in {*rooms, "src", "tests", "benchmarks", "soak", "docs"} and not any(
                (root / name).is_file() for root in roots
            ):
                gone.append(f"{page.name}: {name}")
    return gone
