"""The site's settings: `make docs` makes docs/_build/html of the pages as they are, warnings being errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import foundry

project, author, release = "Foundry", "The Foundry authors", foundry.__version__
copyright = f"2026, {author}"
extensions = ["myst_parser"]
html_theme, html_title = "furo", "Foundry"
html_copy_source = html_show_sphinx = False
exclude_patterns = ["_build"]
myst_heading_anchors = 3


PAGES = {"for_agents": "AGENTS", "security": "SECURITY", "contributing": "CONTRIBUTING", "changes": "CHANGELOG"}
"""Page of the site → the file beside docs/ that stands in its place."""


def setup(app: Any) -> None:
    app.add_lexer("mermaid", TextLexer)  # house.md is a picture where a forge shows it, its source here
    app.connect("source-read", _from_beside)


def _from_beside(app: Any, page: str, source: list[str]) -> None:
    if page in PAGES:
        text = (Path(__file__).parents[1] / f"{PAGES[page]}.md").read_text().replace("](docs/", "](")
        for name, file in PAGES.items():
            text = text.replace(f"]({file}.md)", f"]({name}.md)")
        source[0] = text.replace("[LICENSE](LICENSE)", "LICENSE")
