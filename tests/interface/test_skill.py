"""The page for agents: each of its commands works in an empty project as it is written; so does the loop in docs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import foundry
from foundry import skill
from foundry.interface.cli import main
from soak.endless import InstantLab
from tests.home import ROOT
from tests.interface.conftest import score


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.S | re.M)


@pytest.fixture
def instant_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project whose runs take no time."""
    monkeypatch.setattr("foundry.compare.session.Lab", lambda settings, watcher, say: InstantLab(score=score))
    return home


def test_every_command_of_the_skill_works_as_it_is_written(
    instant_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = skill.text()
    (part,) = blocks(page, "python")
    name = re.search(r"This is `(workspace/\S+)`", page)
    assert name is not None
    Path(name[1]).parent.mkdir(parents=True)
    Path(name[1]).write_text(part)
    commands = [line for block in blocks(page, "sh") for line in block.splitlines()]
    assert len(commands) >= 14 and all(line.startswith("foundry ") for line in commands)
    said: dict[str, Any] = {}
    for line in commands:
        words = shlex.split(line)[1:]
        code = main(words)
        out, err = capsys.readouterr()
        assert code == 0, f"{line}: {err[-500:]} {out[-500:]}"
        if "--json" in words:
            said[line] = json.loads(out)
    assert Path("my-recipes/.claude/skills/foundry/SKILL.md").read_text() == page
    (checked,) = [document for line, document in said.items() if line.startswith("foundry check")]
    assert checked["ok"], checked["faults"]
    (tried,) = [document for line, document in said.items() if line.startswith("foundry proposals")]
    assert tried["proposals"][0]["result"]["status"] in ("accepted", "survived", "eliminated")


def test_the_skill_is_short_and_names_no_command_or_option_that_isnt_there(capsys: pytest.CaptureFixture[str]) -> None:
    page = skill.text()
    assert len(page.splitlines()) <= 150 and max(map(len, page.splitlines())) < 240
    for verb in set(re.findall(r"`(?:foundry )(\w+)", page)):
        assert main([verb, "--help"]) == 0
    for part in ("untrusted", "Don't stop", "Simplest change first", "better", "--strategy outside"):
        assert part in page


def test_the_skill_is_printed_or_put_where_an_agent_looks_and_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["skill"]) == 0 and capsys.readouterr().out.rstrip() == skill.text().rstrip()
    file = Path(".agents/skills/foundry/SKILL.md")
    for _ in range(2):
        assert main(["skill", "--into", ".agents/skills"]) == 0 and file.read_text() == skill.text()
    file.write_text("mine")
    assert main(["skill", "--into", ".agents/skills", "--json"]) == 2 and file.read_text() == "mine"
    assert '"skill.exists"' in capsys.readouterr().out
    assert main(["init", "new", "--agent", "codex"]) == 0
    assert Path("new/.agents/skills/foundry/SKILL.md").read_text() == skill.text()
    assert main(["init", "--agent", "codex"]) == 2 and not Path("experiments").exists(), "all files or none"


def test_the_loop_of_an_agent_in_docs_runs_and_goes_on_from_what_it_read(
    instant_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (loop,) = blocks((ROOT / "docs" / "agents.md").read_text(), "python")
    assert len(loop.splitlines()) <= 20
    exec(compile(loop, "docs/agents.md", "exec"), {})
    told = capsys.readouterr().out.splitlines()
    listed: Any = foundry.Project(".").proposals()
    asked = listed.proposals
    assert len(told) == 5 and len(asked) >= 3 and {row.status for row in asked} == {"done"}
    assert all(row.who == "agent" and row.why for row in asked)
    accepted = [line.split()[0].partition(":")[0] for line in told if " accepted " in line]
    assert accepted and told[-1].split(":")[0] == foundry.Project(".").history().families[0].family
