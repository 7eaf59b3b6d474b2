"""What a confined process can't do, tried; and that the same things succeed where nothing is confined."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from foundry import sandbox
from foundry.core.errors import RequestError, RunFailure, WorkError
from foundry.data.prepared import Prepared
from foundry.execute.untrusted.child_main import policy_for
from foundry.judge import worker
from foundry.sandbox import bubblewrap, confinement, own_proc, tier
from foundry.sandbox.policy import Policy, contestant_policy
from foundry.sandbox.self_test import PEERS_FILE, attempts, holds_capabilities
from foundry.sandbox.usage import usage, written_bytes
from foundry.train import worker as train_worker
from tests.confined import confined
from tests.judge import entrants

WAYS: dict[str, Any] = {"landlock": None, "bubblewrap": bubblewrap.wrap}
HERE = [name for name in WAYS if tier.TIERS.index(name) <= tier.TIERS.index(tier.probe().name)]


@pytest.mark.parametrize("name", HERE)
def test_the_self_test_of_every_tier_that_is_claimed_finds_no_way_out(name: str):
    assert tier.self_test(WAYS[name]) == ""


def test_what_the_self_test_tries_succeeds_where_nothing_is_confined(tmp_path: Path):
    policy = Policy(read=(tmp_path,), write=tmp_path / "inside", memory_bytes=1 << 20, file_bytes=1 << 10)
    with tier._planted(tmp_path) as (planted, unharmed):
        os.dup2(os.open(os.devnull, os.O_RDONLY), PEERS_FILE)
        tries = attempts(planted | {"peer": os.getpid()}, policy)
        # these would harm the machine, need root, or change what the others try
        others = {"mount", "make a user namespace", "trace another process", "set up io_uring"}
        others |= {"signal everybody", "start a process", "change the program", "move a file outside"}
        others |= {"signal another process", "delete a file outside"}
        for name in tries.keys() - others:
            tries[name]()
        assert "a connection arrived" in unharmed()
        assert "a file outside was changed" in unharmed()
        assert "a folder outside was changed" in unharmed()
        for name in ("delete a file outside", "signal another process"):
            tries[name]()


@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        ("seccomp.apply", "send over UDP"),
        ("seccomp.apply", "run a program"),
        ("own_proc.enter", "count what another contestant has open"),
        ("own_proc.enter", "see how another contestant has opened a file"),
        ("landlock.apply", "read a file outside"),
        ("_limit", "take too much memory"),
        ("wipe_environment", "see a secret in the environment"),
    ],
)
def test_a_tier_that_lacks_a_part_fails_its_self_test(broken: str, seen: str):
    """The trial's program with one part of the confinement taken out."""
    script = (
        "import sys; from foundry.sandbox import confinement, landlock, seccomp, self_test;"
        f"owner, _, name = {broken!r}.rpartition('.');"
        "setattr(getattr(confinement, owner) if owner else confinement, name, lambda *a, **k: None);"
        "self_test.main()"
    )

    def crippled(command: list[str], policy: Policy) -> list[str]:
        return [sys.executable, "-P", "-c", script, command[-1]]

    assert seen in tier.self_test(crippled)


def test_a_machine_below_the_asked_tier_is_refused_with_a_line_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(tier, "probe", lambda: tier.Tier("landlock", {"bubblewrap": "not on this machine"}))
    assert sandbox.require("landlock").name == "landlock"
    with pytest.raises(RequestError, match="install bubblewrap"):
        sandbox.require("bubblewrap")
    with pytest.raises(RequestError, match="did you mean 'landlock'"):
        sandbox.require("landlok")


def test_a_self_test_that_does_not_even_start_is_no_tier():
    assert "exit code 3" in tier.self_test(lambda command, policy: [sys.executable, "-c", "raise SystemExit(3)"])


needs_kernel = pytest.mark.parametrize("here", ["this kernel"] if confinement.available() else [])


@needs_kernel
def test_memory_is_bounded(here: str):
    policy = Policy(memory_bytes=1 << 26)
    assert confined(policy, lambda: len(bytearray(1 << 25))) == str(1 << 25)
    assert "MemoryError" in confined(policy, lambda: len(bytearray(1 << 27)))


@needs_kernel
def test_files_are_bounded_and_written_in_one_folder_only(here: str, tmp_path: Path):
    inside = tmp_path / "inside"
    inside.mkdir()
    policy = Policy(write=inside, file_bytes=1000)
    assert confined(policy, lambda: (inside / "a").write_bytes(bytes(1000))) == "1000"
    assert "File too large" in confined(policy, lambda: (inside / "b").write_bytes(bytes(1001)))
    assert "Read-only file system" in confined(policy, lambda: (tmp_path / "c").write_bytes(b"c"))
    assert confined(policy, os.getcwd) == repr(str(inside))


@needs_kernel
def test_time_on_the_processor_is_bounded(here: str):
    def spin() -> None:
        while True:
            pass

    assert confined(Policy(cpu_seconds=1), spin) in ("signal 24", "signal 9")  # SIGXCPU, then SIGKILL


@needs_kernel
def test_threads_can_be_started_and_processes_cannot(here: str):
    def thread() -> list[int]:
        seen: list[int] = []
        threads = [threading.Thread(target=seen.append, args=(number,)) for number in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return sorted(seen)

    assert confined(Policy(), thread) == "[0, 1, 2]"
    assert "Operation not permitted" in confined(Policy(), os.fork)
    assert "Operation not permitted" in confined(Policy(), lambda: subprocess.run(["/bin/true"]))


@needs_kernel
def test_a_fork_bomb_stays_within_its_number_of_processes(here: str):
    def bomb() -> int:
        started = 0
        with contextlib.suppress(OSError):
            while started < 50:
                if os.fork() == 0:
                    time.sleep(5)
                    os._exit(0)
                started += 1
        return started

    answer = confined(Policy(processes=4), bomb)
    assert answer == "4" or "sandbox.processes" in answer  # root's are not counted by the kernel, and refused


@needs_kernel
def test_a_process_with_several_threads_is_not_confined_by_halves(here: str):
    release = threading.Event()
    threading.Thread(target=release.wait, daemon=True).start()
    try:
        with pytest.raises(WorkError, match="threads"):
            sandbox.confine(Policy())
    finally:
        release.set()


@needs_kernel
def test_no_copy_of_the_environment_is_left_in_memory(here: str):
    """Searches all that a process with a secret in its environment can read of itself, before and after."""
    script = """
import os, re, sys
from foundry.sandbox.confinement import confine
from foundry.sandbox.policy import Policy, passed_on

def found():
    pattern, hits = re.compile(rb"planted[-]secret[-][0-9]{4}"), 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps.read().splitlines():
            where, access = line.split()[:2]
            if access.startswith("rw") and "[v" not in line:
                start, end = (int(address, 16) for address in where.split("-"))
                memory.seek(start)
                hits += len(pattern.findall(memory.read(end - start)))
    return hits

if sys.argv[1] == "confined":
    confine(Policy(env=passed_on()))
print(found(), dict(os.environ) == {} or "SECRET" in os.environ)
"""
    for how, expected in (("free", True), ("confined", False)):
        environment = {**os.environ, "SECRET": "planted-secret-1234"}
        command = [sys.executable, "-P", "-c", script, how]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        hits, has_it = done.stdout.split()
        assert (int(hits) > 0, has_it == "True") == (expected, expected), done.stdout


@needs_kernel
def test_a_confined_process_ends_with_the_one_that_started_it(here: str):
    script = (
        "import os, time; from foundry.sandbox import Policy, confine\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    confine(Policy()); print(os.getpid(), flush=True); time.sleep(60)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while usage(pid).processes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert usage(pid).processes == 0


@needs_kernel
def test_limits_of_this_process_are_left_as_they_were(here: str):
    before = resource.getrlimit(resource.RLIMIT_AS), dict(os.environ), os.getcwd()
    confined(Policy(memory_bytes=1 << 26), int)
    assert (resource.getrlimit(resource.RLIMIT_AS), dict(os.environ), os.getcwd()) == before


def test_a_policy_survives_its_way_through_json(tmp_path: Path):
    policy = Policy(read=(tmp_path,), write=tmp_path, env={"A": "b"}, memory_bytes=5, devices=(Path("/dev/null"),))
    assert Policy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


def _opens(file: Path) -> bool:
    try:
        return bool(file.read_text())
    except OSError:
        return False


@needs_kernel
def test_what_computes_on_an_accelerator_reaches_its_devices_and_driver_and_other_code_does_not(
    here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table, driver = tmp_path / "dev", "sys/kernel/random/boot_id"  # a machine's with such devices: no test has one
    names = ("nvidia-uvm", "nvidia0", "nvidia1", "nvidiactl", "nvidia-caps/nvidia-cap1")
    (table / "nvidia-caps").mkdir(parents=True)
    for name in (*names, "sda", "nvram"):
        (table / name).write_text(name)
    monkeypatch.setattr("foundry.sandbox.policy.DEVICES", table)
    monkeypatch.setattr(own_proc, "DRIVERS", (driver, "no/such/driver"))
    (inside := tmp_path / "inside").mkdir(mode=0o777)
    inside.chmod(0o777)

    def readable() -> list[str]:
        files = {**{name: table / name for name in (*names, "sda", "nvram")}, driver: Path("/proc", driver)}
        return [name for name, file in files.items() if os.path.exists(file) and _opens(file)]

    for device, seen in (("cuda:1", [*names, driver]), ("cpu", [])):
        trains = policy_for(inside, tmp_path / "workspace", 0, {}, device)
        answers = contestant_policy(tmp_path / "weights", device, 1)
        assert sorted(map(str, trains.devices)) == sorted(str(table / name) for name in seen if name != driver)
        assert trains.devices == answers.devices
        wrapped = bubblewrap.wrap(["true"], trains) if bubblewrap.available() else []
        assert wrapped.count("--dev-bind") == (len(trains.devices) if wrapped else 0)
        for policy in (trains, answers):
            assert confined(policy, readable) == str(seen), device


REFUSED = {
    "burgles": "PermissionError",
    "calls_home": "PermissionError",
    "murders": "PermissionError",
    "forks": "PermissionError",
    "leaves_word": "Read-only file system",
}


@needs_kernel
@pytest.mark.parametrize("trick", REFUSED)
def test_a_contestant_that_reaches_out_of_its_process_fails_with_a_crash(
    here: str, trick: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, admitted: None
):
    torch.set_num_threads(1)
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(entrants.WORKSPACE))
    job = entrants.entrant(tmp_path, entrants.model_section(trick), tier="landlock")
    with pytest.raises(RunFailure, match=REFUSED[trick]) as caught:
        worker.judge(job, entrants.stretches, entrants.Line(), made_up=True)
    assert caught.value.reason == "crash"
    assert not list(entrants.WORKSPACE.rglob("seen"))


@needs_kernel
def test_training_is_confined_to_its_shards_and_its_folder(here: str, prepared: Prepared, tmp_path: Path):
    torch.set_num_threads(1)
    payload = {
        "model": {**entrants.model_section(), "attention": {"kind": "gqa", "heads": 4}, "position": "rope"}
        | {"norm": "rmsnorm", "activation": "gelu"},
        "train": {
            "batch_size": 4,
            "loss": "cross_entropy",
            "optimizer": {"kind": "adamw", "lr": 1e-3},
            "schedule": "cosine",
        },
        "seed": 1,
        "steps": 2,
        "vocab_size": prepared.vocab_size,
        "train_dir": str(prepared.train_dir),
        "out": str(tmp_path),
        "device": "cpu",
        "threads": 1,
        "checkpoint_seconds": 60.0,
    }
    folders = dict.fromkeys(("HOME", "TMPDIR", "FOUNDRY_CACHE", "FOUNDRY_RUNS"), str(tmp_path))
    env = sandbox.passed_on(**folders, TORCHDYNAMO_DISABLE="1")
    policy = sandbox.Policy(read=(prepared.train_dir,), write=tmp_path, env=env, memory_bytes=1 << 30)

    def train_and_look_around() -> str:
        status = train_worker.main(payload, entrants.Line())["status"]
        with pytest.raises(PermissionError):
            (prepared.judge_dir / "validation.bin").read_bytes()
        return status

    assert confined(policy, train_and_look_around) == "'done'"
    assert (tmp_path / "checkpoint" / "model.safetensors").is_file()


@needs_kernel
def test_root_becomes_nobody_where_nobody_can_read_what_it_must(here: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(confinement, "code_paths", lambda: (Path("/usr/lib"),))
    expected = confinement.NOBODY if os.geteuid() == 0 else os.geteuid()
    assert confined(Policy(), os.getuid) == str(expected)


@needs_kernel
def test_root_stays_without_any_rights_where_nobody_could_not_read(here: str, tmp_path: Path):
    tmp_path.chmod(0o700)

    assert confined(Policy(read=(tmp_path,)), holds_capabilities) == "False"


def test_usage_counts_a_tree_of_processes_and_nothing_of_one_that_is_gone():
    child = "import time; x = bytearray(50 << 20); print(1, flush=True); time.sleep(60)"
    script = (
        "import subprocess, sys;"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE);"
        "p.stdout.readline(); print(1, flush=True); sys.stdin.read(); p.kill(); p.wait()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        seen = usage(process.pid)
        process.stdin.close()
    assert seen.processes == 2
    assert seen.memory_bytes > 50 << 20
    assert seen.cpu_seconds > 0
    assert usage(process.pid) == sandbox.Usage()


def test_disk_use_is_counted_without_following_links(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(bytes(1 << 20))
    (tmp_path / "link").symlink_to("/usr")
    assert 1 << 20 <= written_bytes(tmp_path) < 2 << 20
