"""The command line as a user or an agent meets it."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from foundry.core import yaml_io
from foundry.core.slots import SLOTS
from foundry.interface.cli import main
from foundry.recipe import Recipe
from tests import schema
from tests.home import ROOT, write_tiny

SMALL = ("--judged-bytes", "2048", "--device", "cpu")


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )


def run(*arguments: str, timeout: float = 240) -> tuple[int, str, str]:
    process = start(*arguments)
    out, err = process.communicate(timeout=timeout)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def foundry(*arguments: str) -> tuple[int, str, str]:
    """The program in this process, which has torch already."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main(arguments)
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return code, out.getvalue(), err.getvalue()


def document(*arguments: str, code: int = 0, program: Callable[..., tuple[int, str, str]] = foundry) -> Any:
    """The one JSON document on stdout."""
    got, out, err = program(*arguments, "--json")
    assert got == code, err
    return schema.check(json.loads(out), arguments[0])


def test_the_four_original_commands_work_as_written(home: Path) -> None:
    (home / "src").symlink_to(ROOT / "src")
    code, _, err = run("-m", "src.mutate", "attention", "gqa_1kv")
    assert code == 0, err
    mutated = Path("experiments/attn_gqa_1kv.yaml")
    assert Recipe.load(mutated).to_dict()["model"]["attention"]["kv_heads"] == 1
    code, out, err = run(str(ROOT / "src/train.py"), str(mutated), *SMALL)
    assert code == 0 and "bits per byte" in out, err
    code, out, err = run(str(ROOT / "sweep.py"), "norm", "rmsnorm", "layernorm", "--jobs", "2", *SMALL)
    assert code == 0 and "Nothing promoted" in out, err
    baseline = str(Path("experiments/baseline.yaml"))
    code, out, err = run(str(ROOT / "compare.py"), baseline, str(mutated), "--max-pairs", "3", "--alpha", "0.2", *SMALL)
    assert code == 0 and "Report: runs/reports/compare-" in out, err


def test_json_has_the_promised_keys_and_the_ledger_answers_about_them(home: Path) -> None:
    trained = document("train", "experiments/baseline.yaml", *SMALL)
    assert {"run", "status", "val_bpb", "train_loss", "tokens", "flops", "seconds", "seed", "recipe"} <= trained.keys()
    assert trained["recipe"] == Recipe.load(Path("experiments/baseline.yaml")).fingerprint
    assert foundry("mutate", "norm", "rmsnorm")[0] == 0
    compared = document("compare", "experiments/baseline.yaml", "experiments/norm_rmsnorm.yaml", "--max-pairs", "3",
                        "--alpha", "0.2", *SMALL)  # fmt: skip
    assert {
        "verdict",
        "effect_bpb",
        "interval_bpb",
        "n",
        "evidence",
        "alpha",
        "match",
        "arms",
        "report",
    } <= compared.keys()
    assert json.loads(Path(compared["report"]).read_text()).items() <= compared.items()
    for arm in compared["arms"]:
        assert {"name", "recipe", "runs", "budget_tokens", "budget_flops", "cost"} <= arm.keys()
        assert all({"run", "seed", "status", "val_bpb"} <= one.keys() for one in arm["runs"])
    swept = document("sweep", "norm", "rmsnorm", "--seeds", "1", *SMALL)
    assert {"baseline", "candidates", "verdict", "promoted"} <= swept.keys()
    assert {"name", "mutation", "status", "reason", "val_bpb"} <= swept["candidates"][0].keys()

    assert document("show", trained["run"][:10])["run"] == trained["run"]
    assert any(row["run"] == trained["run"] for row in document("log", "--limit", "50")["runs"])
    edits = document("diff", trained["run"], compared["arms"][1]["recipe"])["edits"]
    assert "model.norm" in [row["path"] for row in edits]
    assert document("lineage")["promotions"][0]["kind"] == "adopt"
    assert document("budget")["tests"] == 0
    slots = document("kinds")["slots"]
    assert {name: list(kinds) for name, kinds in slots.items()} == {slot.name: slot.kinds() for slot in SLOTS}
    said = document("sample", trained["run"][:10], "To be", "--tokens", "5", "--seed", "1")
    assert len(schema.text(said["text"])) >= 5 and said == document(
        "sample", trained["run"], "To be", "--tokens", "5", "--seed", "1"
    )


def test_a_folder_for_recipes_holds_the_baseline_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "experiments").rename(home / "mine")
    monkeypatch.setenv("FOUNDRY_EXPERIMENTS", "mine")
    program = partial(run, "-m", "foundry")  # the folder is read at the start
    written = document("mutate", "norm", "rmsnorm", program=program)
    assert (written["baseline"], written["file"]) == ("mine/baseline.yaml", "mine/norm_rmsnorm.yaml")
    assert document("sweep", "norm:rmsnorm", "--seeds", "1", *SMALL, program=program)["candidates"]
    assert document("lineage", program=program)["track"] == "mine/baseline.yaml"
    assert not (home / "experiments").exists()


def test_after_prepare_the_commands_it_prints_train_on_the_text(home: Path) -> None:
    lines = [json.dumps({"content": f"a line + some more, number {i}\n" * 60}) for i in range(40)]
    (home / "my texts").mkdir()
    (home / "my texts" / "a+b:c.jsonl").write_text("\n".join([*lines, "no json"]))
    asked = ("--reading", "{field: content, on_bad: skip}", "--tokenizer", "bytes")
    prepared = document("data", "prepare", "file:my texts/a+b:c.jsonl", *asked)
    assert prepared["passed_over"]["bad"] == 1
    *first, train = (shlex.split(command)[1:] for command in prepared["next"])
    for command in first:
        assert foundry(*command)[0] == 0
    recipe = Recipe.load(Path(train[-1]))
    assert recipe.data.source == "file:my texts/a+b:c.jsonl" and recipe.data.reading.field == "content"
    assert document(*train, *SMALL)["status"] == "done"
    again = document("data", "prepare", recipe.data.source, *asked, "--baseline", train[-1])["next"]
    assert [shlex.split(command)[1:] for command in again] == [train]


def test_commands_that_only_read_import_no_torch(home: Path) -> None:
    code = (
        "import sys; from foundry.interface.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(3 if 'torch' in sys.modules else code)"
    )
    write_tiny(Path("experiments/other.yaml"), model__layers=2)
    files = ["experiments/baseline.yaml", "experiments/other.yaml"]
    for arguments in (
        ["--help"],
        ["log"],
        ["lineage"],
        ["verify"],
        ["kinds"],
        ["mutate"],
        ["budget"],
        ["diff", *files],
    ):
        got, _, err = run("-c", code, *arguments)
        assert got == 0, (arguments, err)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["tran"], "Did you mean"),
        (["train", "experiments/basline.yaml"], "did you mean 'baseline.yaml'"),
        (["train", "experiments/baseline.yaml", "--seeed", "1"], "did you mean '--seed'"),
        (["sweep", "nrm", "rmsnorm"], "did you mean 'norm'"),
        (["sweep", "norm", "rmsnrm"], "did you mean 'rmsnorm'"),
        (["sweep", "norm", "rmsnorm", "--control", "fdx"], "fdr"),
        (["sweep", "norm", "rmsnorm", "--match", "token"], "tokens"),
        (["compare", "experiments/baseline.yaml", "experiments/baseline.yaml", "--seeds", "1,x"], "--seeds"),
        (["compare", "experiments/baseline.yaml", "experiments/baseline.yaml", "--alpha", "7"], "0.999"),
        (["train", "experiments/baseline.yaml", "--device", "cuda:77"], "cuda"),
        (["data", "prepare", "builtin:shakespere"], "shakespeare"),
        (["data", "prepare", "file:nowhere.txt"], "nowhere.txt"),
        (["show", "zzz"], "zzz"),
        (["diff", "zzz", "experiments/baseline.yaml"], "zzz"),
        (["sample", "zzz", "x"], "zzz"),
        (["revert"], "no earlier baseline"),
        (["mutate", "attention", "gqa_3kv"], "gqa_2kv"),
        (["mutate", "attention:gqa_2kv+attention:mha"], "both claim"),
        (["log", "--limit", "x"], "integer"),
    ],
)
def test_a_wrong_request_is_one_line_that_says_how_to_mend_it(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and line in err, err
    assert main([*arguments, "--json"]) == 2
    assert set(json.loads(capsys.readouterr().out)["error"]) >= {"code", "path", "got", "choices", "hint"}


def test_resume_without_a_checkpoint_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "experiments/baseline.yaml", "--resume"]) == 2
    assert "no checkpoint" in capsys.readouterr().err.splitlines()[-1]


def test_torchrun_trains_one_run_with_two_processes(home: Path) -> None:
    code, out, err = run("-m", "torch.distributed.run", "--nproc-per-node", "2", str(ROOT / "src/train.py"),
                         "experiments/baseline.yaml", "--json", *SMALL)  # fmt: skip
    assert code == 0, err
    together = json.loads(out)
    alone = document("train", "experiments/baseline.yaml", "--fresh", *SMALL)
    assert together["run"] == alone["run"]
    assert together["val_bpb"] == pytest.approx(alone["val_bpb"], abs=1e-4)


@pytest.mark.parametrize("torchrun", [True, False])
def test_a_process_of_torchruns_ends_before_its_interpreter_is_torn_down(torchrun: bool) -> None:
    program = """
import atexit, os, sys
from foundry.interface.door import main
class Module:
    def __del__(self):
        os.write(1, b"torn down")
sys.modules["kept"] = Module()
atexit.register(lambda: print("goodbye"))
sys.exit(main(["kinds", "--no-such-option"]))
"""
    known = {"TORCHELASTIC_RUN_ID": "none"} if torchrun else {}
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **known}, capture_output=True, text=True)
    assert done.returncode == 2 and "no-such-option" in done.stderr
    assert done.stdout.split("\n") == ["goodbye", "" if torchrun else "torn down"]


def test_a_full_disk_is_one_line_and_loses_nothing(home: Path) -> None:
    before = Path("experiments/baseline.yaml").read_text()
    limited = 'ulimit -f 40; exec "$@"'  # blocks of 1 KiB: the ledger and the checkpoint don't fit
    process = subprocess.run(
        ["bash", "-c", limited, "sh", sys.executable, "-m", "foundry", "train", "experiments/baseline.yaml", *SMALL],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 1 and "Traceback" not in process.stderr, process.stderr
    assert Path("experiments/baseline.yaml").read_text() == before
    assert document("train", "experiments/baseline.yaml", "--retry", *SMALL)["status"] == "done"


def test_a_promotion_keeps_the_text_that_the_user_wrote(home: Path) -> None:
    path = Path("experiments/baseline.yaml")
    path.write_text("# my own note\n" + path.read_text())
    assert foundry("mutate", "norm", "rmsnorm")[0] == 0
    text = Path("experiments/norm_rmsnorm.yaml").read_text()
    assert "# my own note" in text
    assert yaml_io.parse(text)["model"]["norm"]["kind"] == "rmsnorm"
