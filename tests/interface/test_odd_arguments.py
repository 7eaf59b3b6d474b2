"""Whatever is typed: one line and an exit code of 0, 1 or 2; never a traceback, never an error of ours that we didn't
foresee.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
import typer

from foundry.interface.cli import app, main
from tests.interface.test_terminal import commands

ODD = [
    "", " ", "-", "--", "---", "0", "-1", "1e400", "nan", "9" * 40, "0x10", "True", "null", "~", "~nosuchuser/x", ".",
    "..", "/", "/dev/null", "/proc/self/mem", "experiments", "space.yaml", "binary.yaml", "deep.yaml", "a\x00b",
    "\x1b[31m", "\ud800", "é·日本", "[/red]", "%s%n", "$(id)", "'; DROP TABLE runs; --", "x" * 5000, "norm", "norm:",
    ":", "+", "a:b+", "norm:rmsnorm+norm:rmsnorm", "lr:x0", "lr:nan", "lr:-1", "lr:1e999", "width:0", "depth:99999999",
    "set:", "set:=", "set:model=1", "set:model.width=[", "set:name={a: b}", "set:train.optimizer={}", "file:",
    "attention:../mla", "file:nothing", "file:[", "hf:", "builtin:", "s3://x", "1,2,3", "1,,2", "cpu", "cuda:-1",
    "--json", "--help",
]  # fmt: skip
TRAINS = {"train", "sweep", "compare", "campaign"}
"""Commands that would do what they are there for: their baseline is no recipe."""
LEFT_OUT = {"diff": ".yaml", "init": ("/", "..")}
"""A command, and how those values end that take it a process each, or out of the test's folder."""


COMMANDS = dict(commands(typer.main.get_command(app)))


def typed(path: tuple[str, ...], draw: Random) -> list[str]:
    """Some arguments and options of a command, with odd values."""
    command: Any = COMMANDS[path]
    odd = [value for value in ODD if not value.endswith(LEFT_OUT.get(path[-1], "\n"))]
    words = [draw.choice(odd) for _ in range(draw.randint(0, 3))]
    for option in draw.sample([each for each in command.params if each.param_type_name == "option"], k=1):
        words.append(draw.choice(option.opts))
        words += [] if getattr(option, "is_flag", False) and draw.random() < 0.8 else [draw.choice(odd)]
    return [*path, *words]


@pytest.fixture
def place(home: Path) -> Path:
    Path("space.yaml").write_text("mutations: 3\n")
    Path("binary.yaml").write_bytes(bytes(range(256)))
    Path("deep.yaml").write_text("a: " + "[" * 3000)
    return home


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_odd_arguments_end_in_one_of_three_codes_and_never_in_a_traceback(
    place: Path, path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if path[-1] in TRAINS:
        Path("experiments/baseline.yaml").write_text("name: none\n")
    baseline = Path("experiments/baseline.yaml").read_bytes()
    draw = Random(" ".join(path))
    for _ in range(12):
        arguments = typed(path, draw)
        code = main(arguments)
        out, err = capsys.readouterr()
        assert code in (0, 1, 2), arguments
        assert "Traceback" not in err and "internal.error" not in out + err, f"{arguments}: {err}"
        assert not code or err.count("\n") >= 1, arguments
        if "--json" in arguments and "--help" not in arguments:
            assert json.loads(out)["schema"] == 2, arguments
        assert Path("experiments/baseline.yaml").read_bytes() == baseline, arguments
        shutil.rmtree("runs", ignore_errors=True)
