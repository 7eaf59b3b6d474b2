"""`foundry track` with the real trackers, each read back with its own reader: `python -m clients.trackers [NAME…]`.

A run trains while each follows it and is killed with -9; then it ends, and what is sent again must be exactly what
`metrics.jsonl` has, and a second time nothing. The packages are installed into a folder outside the project,
TRACKERS=FOLDER where they should be kept. May not: be part of the tests, which have none of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.home import write_tiny

ROOT = Path(__file__).resolve().parents[1]
FOUNDRY = Path(sys.executable).with_name("foundry")
HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m"
PACKAGES = {
    "tensorboard": ("tensorboard>=2.21",),
    "trackio": ("trackio>=0.43",),
    "mlflow": ("mlflow-skinny>=3.17", "sqlalchemy>=2", "alembic>=1.13"),
    "wandb": ("wandb>=0.31",),
}
READERS = {
    "tensorboard": """
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data as parsed
for run in RUNS:
    events = EventAccumulator(f"{INTO}/{run}", size_guidance={"scalars": 0}).Reload()
    losses = [[e.step, e.value] for e in events.Scalars("train/loss")]
    said = parsed(events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content).hparams
    told[run] = losses, [e.value for e in events.Scalars("val_bpb")], said["name"].string_value
""",
    "trackio": """
from trackio.sqlite_storage import SQLiteStorage as storage
assert sorted(storage.get_runs("foundry")) == sorted(RUNS)
for run in RUNS:
    logs = storage.get_logs("foundry", run, run_id=run)
    losses = [[row["step"], row["train/loss"]] for row in logs if "train/loss" in row]
    name = storage.get_run_config("foundry", run, run)["name"]
    told[run] = losses, [row["val_bpb"] for row in logs if "val_bpb" in row], name
""",
    "mlflow": """
from mlflow.tracking import MlflowClient
client = MlflowClient(tracking_uri=f"sqlite:///{INTO}/mlflow.db")
found = client.search_runs([client.get_experiment_by_name("foundry").experiment_id])
assert sorted(run.data.tags["foundry_run"] for run in found) == sorted(RUNS)
for run in found:
    history = lambda key: client.get_metric_history(run.info.run_id, key)
    losses = sorted([m.step, m.value] for m in history("train/loss"))
    told[run.data.tags["foundry_run"]] = losses, [m.value for m in history("val_bpb")], run.info.run_name
""",
    "wandb": """
import glob
from wandb.proto.wandb_internal_pb2 import Record
def records(data):
    at, parts = 7, b""                # a header, then blocks of 32 KiB with pieces of records
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""
for run in RUNS:
    (file,) = glob.glob(f"{INTO}/wandb/offline-run-*-{run}/run-{run}.wandb")
    losses, scores, name = [], [], ""
    for record in records(open(file, "rb").read()):
        row = {(i.key or ".".join(i.nested_key)): json.loads(i.value_json) for i in record.history.item}
        if "train/loss" in row:
            losses.append([row["_step"], row["train/loss"]])
        last = {(i.key or ".".join(i.nested_key)): i.value_json for i in record.summary.update}
        scores = [json.loads(last["val_bpb"])] if "val_bpb" in last else scores
        name = record.run.display_name or name
    told[run] = losses, scores, name
""",
}


def main(names: list[str]) -> int:
    broken = []
    with tempfile.TemporaryDirectory() as temporary:
        home, packages = Path(temporary), Path(os.environ.get("TRACKERS") or f"{temporary}/packages")
        os.environ["FOUNDRY_KEYS"] = f"{home}/keys"
        write_tiny(home / "experiments/short.yaml", budget__tokens=64 * 300, name=HOSTILE)
        write_tiny(home / "experiments/long.yaml", budget__tokens=64 * 12_000)
        foundry(home, "train", "experiments/short.yaml", "--judged-bytes", "2048", "--device", "cpu")
        for name in names:
            install(packages / name, PACKAGES[name])
        long = [FOUNDRY, "train", "experiments/long.yaml", "--judged-bytes", "2048", "--device", "cpu"]
        with open(home / "train.log", "w") as log, subprocess.Popen(long, cwd=home, stdout=log, stderr=log) as training:
            followers = {name: follow(home, name, packages / name) for name in names}
            for name, follower in followers.items():
                deadline = time.monotonic() + 180
                while follower.poll() is None and cursors(home, name) < 2 and time.monotonic() < deadline:
                    time.sleep(0.2)
                time.sleep(2.5)
                follower.kill()
                follower.wait()
            during = training.poll() is None
        for name in names:
            said = check(home, name, packages / name)
            print(f"{'FAIL' if said else 'ok  '} {name}: {said or 'every loss once, the score, the name as text'}")
            broken += [name] if said else []
    print(f"killed {'while the run trained' if during else 'only after the run had ended'}")
    return int(bool(broken))


def install(folder: Path, packages: tuple[str, ...]) -> None:
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder]
        subprocess.run([*pip, *packages], check=True)


def environment(packages: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(packages)}


def foundry(home: Path, *words: str, packages: Path = Path()) -> dict[str, Any]:
    done = subprocess.run(
        [FOUNDRY, *words, "--json"], cwd=home, capture_output=True, text=True, env=environment(packages)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def follow(home: Path, name: str, packages: Path) -> subprocess.Popen[bytes]:
    command = [FOUNDRY, "track", name, "--follow", "--progress", "none"]
    return subprocess.Popen(command, cwd=home, env=environment(packages), stderr=subprocess.DEVNULL)


def cursors(home: Path, name: str) -> int:
    return len(list((home / "runs/track" / name / ".foundry").glob("*.json")))


def check(home: Path, name: str, packages: Path) -> str:
    """What is wrong with what was sent; nothing where nothing is."""
    first = foundry(home, "track", name, packages=packages)
    second = foundry(home, "track", name, packages=packages)
    runs = {row["run"]: row for row in foundry(home, "log")["runs"]}
    about = f"import json, sys\nRUNS, INTO, told = {list(runs)!r}, {first['into']!r}, {{}}\n"
    ends = "json.dump(told, sys.stdout)"
    there = {**environment(packages), "TRACKIO_DIR": first["into"]}
    read = [sys.executable, "-c", about + READERS[name] + ends]
    done = subprocess.run(read, cwd=home, capture_output=True, text=True, env=there)
    if done.returncode:
        return done.stderr[-2000:]
    wrong = [f"sent again: {second}"] if second["points"] or second["runs"] else []
    for run, (losses, scores, shown) in json.loads(done.stdout).items():
        rows = [json.loads(line) for line in (home / "runs" / run[:16] / "metrics.jsonl").read_text().splitlines()]
        if [step for step, _ in losses] != [row["step"] for row in rows]:
            wrong.append(f"{run}: {len(losses)} steps for {len(rows)} lines")
        elif any(abs(loss - row["loss"]) > 1e-5 for (_, loss), row in zip(losses, rows, strict=True)):
            wrong.append(f"{run}: other losses")
        if len(scores) != 1 or abs(scores[0] - runs[run]["val_bpb"]) > 1e-5:
            wrong.append(f"{run}: scores {scores}")
        if "\x1b" in shown or (runs[run]["name"] == HOSTILE) != ("<img" in shown):
            wrong.append(f"{run}: is called {shown!r}")
    return "; ".join(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PACKAGES)))
