"""`foundry export`: a trained run leaves as a folder for transformers, checked in another process, or says why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import foundry
from foundry.core.errors import RequestError, WorkError
from foundry.documents.exports import Exported, ExportTargets, Verification
from foundry.export import folder
from foundry.interface.answer import exit_code
from foundry.interface.cli import main
from tests.home import write_tiny


def test_a_run_leaves_as_a_folder_that_transformers_reads_and_is_told_of(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline, project = "experiments/baseline.yaml", foundry.Project(".")
    with pytest.raises(WorkError, match=rf"no_weights.*foundry train {baseline} trains it"):
        project.export(baseline, to="out")
    run = project.train(baseline, judged_bytes=2048, device="cpu").run
    assert main(["export", "champion", "--to", "out", "--verify", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["run"] == run and printed["format"] == "gpt2" and not printed["needs_foundry"]
    verified = printed["verified"]
    assert verified["ok"] and verified["max_logit_difference"] <= 1e-4 and verified["architecture"] == "GPT2LMHeadModel"
    assert {each.name: each.stat().st_size for each in Path("out").iterdir()} == printed["files"]
    card, facts = Path("out/README.md").read_text(), json.loads(Path("out/foundry.json").read_text())
    assert run in card and "bits per byte on" in card and "Licence: unset" in card and "kind: learned" in card
    assert facts["run"]["run"] == run and facts["run"]["code"]["files"] and facts["format"] == "gpt2"

    listed = project.export(run[:12], targets=True)
    assert isinstance(listed, ExportTargets)
    assert {each.format: each.why_not is None for each in listed.targets} == {
        each: each in ("gpt2", "foundry") for each in folder.FORMATS if each != "auto"
    }
    for named, message in (
        ({"to": "out"}, "isn't empty; --force"),
        ({}, "name the folder"),
        ({"to": "new", "ema": True}, "keeps no average"),
        ({"to": "new", "format": "qwen3"}, "layernorm has no place in it"),
        ({"to": baseline}, "is a file"),
    ):
        with pytest.raises(RequestError, match=message):
            project.export(run, **named)
    assert not Path("new").exists()
    again = project.export(run, to="out", format="foundry", verify=False, force=True)
    assert (
        isinstance(again, Exported)
        and again.needs_foundry
        and again.verified is None
        and (Path("out") / folder.CODE).is_file()
    )
    shutil.rmtree(project.folder / "runs" / run[:16] / "checkpoint")
    with pytest.raises(WorkError, match=f"foundry train {run[:12]} --weights makes its weights again"):
        project.export(run, to="new")


def test_code_of_the_workspace_leaves_with_no_export(home: Path) -> None:
    part = Path("workspace/modules/activation/mine.py")
    part.parent.mkdir(parents=True)
    part.write_text(
        '"""Mine."""\nfrom foundry.modules.activation import gelu\n\n\nclass Config(gelu.Config):\n    pass\n'
    )
    write_tiny(Path("mine.yaml"), model__activation={"kind": "mine", "ratio": 4.0})
    from foundry.ledger.ledger import Ledger
    from foundry.ledger.run_spec import RunSpec
    from foundry.recipe import Recipe

    spec = RunSpec(Recipe.load("mine.yaml"), 0, 768, "d" * 32)
    with Ledger.open() as ledger:
        ledger.runs.put(spec, judged_hash="j" * 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foundry.export.export.are_whole", lambda run: True)
        with pytest.raises(
            RequestError, match=r"export.code.*model.activation: code of the workspace's.*foundry adopt"
        ):
            foundry.Project(".").export(spec.id, to="out")


def test_a_folder_that_does_not_hold_is_a_failure() -> None:
    plain = {"folder": "", "format": "", "architecture": "", "run": "", "recipe": "", "name": "", "dtype": "fp32"}
    facts = {"weights": "last", "needs_foundry": False, "parameters": 1, "files": {}, "next": ()}
    for ok in (True, False):
        verified = Verification(
            ok=ok, max_logit_difference=1.0, limit=1e-4, greedy_tokens=1, greedy_equal=ok, ids_equal=True,
            architecture="", transformers="", seconds=0.0,
        )  # fmt: skip
        assert exit_code(Exported.from_dict({**plain, **facts}, verified=verified)) == int(not ok)
