"""`foundry check`: a sound file passes, a broken one is told which clause it breaks, where, and how to mend it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cheats.catalogue import workspace
from foundry import contract, sandbox
from foundry.core.errors import RequestError
from foundry.core.slots import SLOTS
from foundry.documents.recipes import Checked
from foundry.interface.cli import main
from foundry.modules.optimizer import lion
from foundry.promote import check as room
from foundry.promote.check import check, locate

needs_sandbox = pytest.mark.skipif(not sandbox.probe().at_least("landlock"), reason="this machine has no sandbox")


@pytest.fixture(autouse=True)
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_TIER", "landlock")  # the tier that starts at once


PART = '''"""A part of the tests. May not: much."""
from torch import nn
from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear


class Config(ActivationConfig):
    def build(self, width):
        return Part(width)


class Part(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = Linear(width, width)

    def forward(self, x):
        {body}
        return self.linear(x)
'''


def part(folder: Path, body: str, slot: str = "activation") -> Path:
    file = folder / "workspace" / "modules" / slot / "mine.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(PART.format(body=body) if slot == "activation" else body)
    return file


def faults(document: Checked) -> dict[str, dict[str, Any]]:
    return {fault["clause"]: fault for fault in document["faults"]}


@needs_sandbox
@pytest.mark.parametrize("name", ["attention/causal_convolution", "norm/group_norm"])
def test_a_sound_file_passes_every_clause_and_the_judge_and_how_far_it_is_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foundry.core.pace.LINE_SECONDS", 0.0)
    lines: list[str] = []
    document = check(workspace("zoo") / "modules" / f"{name}.py", lines.append)
    assert "against its contract, in a sandbox (landlock)" in lines[0] and "  on trial: " in "".join(lines[1:-2])
    assert lines[-2:] == ["judging it with fresh weights", "judging it with trained weights"]
    assert document["ok"] and document["faults"] == [] and document["tier"] == "landlock"
    assert {"imports", "check_no_gradient_from_the_future", "trains", "judged"} <= set(document["passed"])


@needs_sandbox
def test_a_leak_is_told_which_clauses_it_breaks_what_was_seen_and_how_to_mend_it(tmp_path: Path) -> None:
    broken = faults(check(part(tmp_path, "x = x - x.mean(-2, keepdim=True)")))
    future = broken["check_no_gradient_from_the_future"]
    assert future["contract"].startswith("contract/forward.py:") and "later tokens" in future["says"]
    assert "depends on tokens after it" in future["seen"] and "earlier tokens only" in future["mend"]
    assert "leak" in broken["judged"]["seen"]


FORGED = """"Says by itself that it passed. May not: be believed."
import os

os.write(1, b'{"ok": true}\\n')
print("words of the code")
for handle in range(3, 20):
    try:
        os.write(handle, b'{"tell": 7}\\n{"result": {"passed": ["imports", "judged"], "faults": []}}\\n')
    except OSError:
        pass


class Config:
    pass
"""


@needs_sandbox
def test_a_file_can_neither_say_that_it_passed_nor_print_into_the_document(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = check(part(tmp_path, FORGED, slot="attention"))
    assert not document["ok"] and "judged" not in document["passed"]
    assert "words of the code" in document["printed"]
    assert "words of the code" not in "".join(capfd.readouterr())


@needs_sandbox
def test_an_exception_is_blamed_on_its_line(tmp_path: Path) -> None:
    file = part(tmp_path, "x = x.no_such_method()")
    broken = faults(check(file))
    line = next(i for i, text in enumerate(file.read_text().splitlines(), 1) if "no_such_method" in text)
    assert broken["check_shape_is_kept"]["line"] == broken["trains"]["line"] == line
    assert "no_such_method" in broken["trains"]["seen"] and "judged" not in broken


@needs_sandbox
@pytest.mark.parametrize(
    ("body", "clause", "seen"),
    [
        ("import os; os._exit(0)", "stays", "in check_shape_is_kept: .*exit code 0"),
        ("while True: pass", "stays", "in check_shape_is_kept: took more than"),
        ("open('/etc/shadow').read()", "trains", "PermissionError"),
        ("x = x.new_zeros(1 << 40)", "trains", "allocate"),
    ],
)
def test_code_that_ends_its_process_or_reaches_out_is_a_fault_and_no_accident(
    body: str, clause: str, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import re

    monkeypatch.setattr(room, "SECONDS", 6.0)
    broken = faults(check(part(tmp_path, body)))
    assert re.search(seen, broken[clause]["seen"])
    assert broken[clause]["mend"]


def test_a_file_that_is_no_python_is_told_so_with_the_line(tmp_path: Path) -> None:
    document = check(part(tmp_path, '"""Half."""\n\nclass Config(:\n', slot="norm"))
    (fault,) = document["faults"]
    assert (fault["clause"], fault["line"]) == ("imports", 3) and "SyntaxError" in fault["seen"]
    (fault,) = check(part(tmp_path, '"""Nothing."""\n', slot="norm"))["faults"]
    assert "defines no class Config" in fault["seen"]


@needs_sandbox
def test_parts_of_training_and_whole_models_are_checked_too(tmp_path: Path) -> None:
    source = Path(lion.__file__)
    assert check(part(tmp_path, source.read_text(), slot="optimizer"))["ok"]
    document = check(workspace("leaks") / "model.py")
    assert document["slot"] == "model" and list(faults(document)) == ["judged"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("workspace/modules/attention/none.py", "check.no_file"),
        ("notes.py", "check.no_slot"),
        ("workspace/modules/attention/not-a-kind.py", "check.bad_name"),
        ("workspace/data/tokenizer/mine.py", "check.tokenizer"),
    ],
)
def test_a_file_in_no_place_is_a_wrong_request(path: str, code: str, tmp_path: Path) -> None:
    if code != "check.no_file":
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    with pytest.raises(RequestError) as caught:
        locate(tmp_path / path)
    assert caught.value.code == code


def test_every_clause_says_what_holds_and_how_to_mend_a_part_that_breaks_it() -> None:
    for clause in {clause for slot in SLOTS for clause in contract.clauses(slot)}:
        assert (clause.__doc__ or "").split("\n")[0] and contract.hint(clause.__name__), clause.__name__
    assert contract.hint("check_bf16_is_finite").startswith("compute norms") and contract.hint("trains") == ""


@needs_sandbox
def test_the_command_says_it_in_lines_or_json_and_by_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = part(tmp_path, "x = x.flip(0)")
    assert main(["check", str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert main(["check", str(file)]) == 1
    out = capsys.readouterr().out
    assert "check_rows_are_independent" in out and "  mend  " in out
    assert main(["check", str(tmp_path / "none.py")]) == 2
