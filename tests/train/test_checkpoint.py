"""A checkpoint is the old one or the new one, whole; anything else is refused in one line."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from foundry.core.errors import RequestError, WorkError
from foundry.core.section import validate
from foundry.model import GPT, initialise
from foundry.modules.optimizer import SLOT as OPTIMIZERS
from foundry.train import checkpoint
from foundry.train.program import Job
from foundry.train.state import TrainState

FACTS = {"identity": "this run", "seconds": 1.5}


@pytest.fixture
def make(payload: dict[str, Any]) -> Callable[..., TrainState]:
    """A state after so many steps with made-up gradients."""

    def of(steps: int, optimizer: Any = None) -> TrainState:
        if optimizer is not None:
            payload["train"]["optimizer"] = optimizer
        job = validate(Job, payload)
        model = GPT(job.model, 7)
        initialise(model, 0)
        state = TrainState.fresh(model, job.train)
        generator = torch.Generator().manual_seed(0)
        for _ in range(steps):
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            state.optimizer.step()
            state.advance()
        return state

    return of


def same(a: Any, b: Any) -> bool:
    """Equal in every type and bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("kind", OPTIMIZERS.kinds())
def test_every_optimizer_comes_back_bit_for_bit(make: Callable[..., TrainState], tmp_path: Path, kind: str) -> None:
    before, after = make(3, {"kind": kind, "lr": 0.01}), make(0, {"kind": kind, "lr": 0.01})
    assert not same(before.weights, after.weights)
    checkpoint.save(tmp_path / "c", before, FACTS)
    assert checkpoint.load(tmp_path / "c", after, "this run") == FACTS
    assert same(before.optimizer.state_dict(), after.optimizer.state_dict())
    assert same(before.weights, after.weights) and same(before.average, after.average)
    assert after.step == 3


def test_an_optimizer_state_that_can_not_be_saved_is_refused_by_name(
    make: Callable[..., TrainState], tmp_path: Path
) -> None:
    state = make(1)
    state.optimizer.param_groups[0]["callback"] = print
    with pytest.raises(WorkError, match="callback"):
        checkpoint.save(tmp_path / "c", state, FACTS)


class Crash(Exception):
    pass


def test_a_crash_at_any_point_of_saving_leaves_the_old_or_the_new(
    make: Callable[..., TrainState], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = make(2), make(4)
    calls = {"os.fsync": os.fsync, "os.rename": os.rename, "shutil.rmtree": shutil.rmtree, "os.mkdir": os.mkdir}
    outcomes = []
    for crash_at in itertools.count():
        folder = tmp_path / str(crash_at) / "c"
        checkpoint.save(folder, old, FACTS)
        left = itertools.count(crash_at, -1)

        def guarded(call: Callable[..., Any], left: Any = left) -> Callable[..., Any]:
            def crashing(*args: Any, **kwargs: Any) -> Any:
                if next(left) == 0:
                    raise Crash
                return call(*args, **kwargs)

            return crashing

        with monkeypatch.context() as patch:
            for name, call in calls.items():
                patch.setattr(name, guarded(call))
            try:
                checkpoint.save(folder, new, FACTS)
                crashed = False
            except Crash:
                crashed = True
        found = make(0)
        checkpoint.load(folder, found, "this run")
        assert same(found.weights, (old if found.step == 2 else new).weights)
        outcomes.append(found.step)
        checkpoint.save(folder, new, FACTS)  # the next one cleans up whatever the crash left
        assert sorted(path.name for path in folder.parent.iterdir()) == ["c"]
        if not crashed:
            break
    assert outcomes == sorted(outcomes) and set(outcomes) == {2, 4} and len(outcomes) > 8


FILES = ["model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" " * 100_000)


def rewrite(place: Path, name: str, data: bytes) -> None:
    """Put other content in a checkpoint's file, and let the manifest vouch for it."""
    (place / name).unlink()
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["files"][name] = checkpoint._write(place / name, data)
    (place / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("harm", [cut, flip, link, pipe, grow, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_a_torn_or_altered_file_is_refused_and_nothing_loaded(
    make: Callable[..., TrainState], tmp_path: Path, name: str, harm: Callable[[Path], Any]
) -> None:
    checkpoint.save(tmp_path / "c", make(2), FACTS)
    harm(tmp_path / "c" / name)
    untouched = make(0)
    with pytest.raises(WorkError, match=r"^\[train\.torn_checkpoint\] [^\n]*$"):
        checkpoint.load(tmp_path / "c", untouched, "this run")
    assert same(untouched.weights, make(0).weights) and untouched.step == 0


@pytest.mark.parametrize("content", [[], {"facts": {}}, {"facts": FACTS, "step": 2, "optimizer": {"tensor": "x"}}])
def test_a_vouched_for_state_that_is_nonsense_is_refused(
    make: Callable[..., TrainState], tmp_path: Path, content: Any
) -> None:
    checkpoint.save(tmp_path / "c", make(2), FACTS)
    rewrite(tmp_path / "c", "state.json", json.dumps(content).encode())
    with pytest.raises(WorkError, match="bad_checkpoint"):
        checkpoint.load(tmp_path / "c", make(0), "this run")


def test_a_linked_folder_is_refused(make: Callable[..., TrainState], tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "elsewhere", make(2), FACTS)
    (tmp_path / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorkError, match="torn_checkpoint"):
        checkpoint.load(tmp_path / "c", make(0), "this run")
    with pytest.raises(WorkError, match="torn_checkpoint"):
        checkpoint.load_weights(tmp_path / "c")


def test_a_bad_checkpoint_gives_way_to_a_good_one(make: Callable[..., TrainState], tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", make(2), FACTS)
    shutil.copytree(tmp_path / "c", tmp_path / "c.new")
    flip(tmp_path / "c.new" / "model.safetensors")
    state = make(0)
    assert checkpoint.load(tmp_path / "c", state, "this run") == FACTS and state.step == 2


def test_no_checkpoint_is_no_error(make: Callable[..., TrainState], tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "c", make(0), "this run") is None


def test_a_checkpoint_of_another_run_is_refused(make: Callable[..., TrainState], tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", make(2), FACTS)
    with pytest.raises(RequestError, match="another run"):
        checkpoint.load(tmp_path / "c", make(0), "that run")


def test_the_judge_gets_the_average_where_there_is_one(make: Callable[..., TrainState], tmp_path: Path) -> None:
    state = make(2)
    checkpoint.save(tmp_path / "c", state, FACTS, finished=True)
    assert same(checkpoint.load_weights(tmp_path / "c", state.model), state.average)
    assert not (tmp_path / "c" / "optimizer.safetensors").exists()
    state.average = None
    checkpoint.save(tmp_path / "c", state, FACTS, finished=True)
    assert same(checkpoint.load_weights(tmp_path / "c", state.model), state.weights)


def spoil_number(tensors: dict[str, torch.Tensor]) -> None:
    tensors["embedding.weight"][1, 1] = torch.nan


def spoil_shape(tensors: dict[str, torch.Tensor]) -> None:
    tensors["embedding.weight"] = tensors["embedding.weight"][1:].clone()


def spoil_dtype(tensors: dict[str, torch.Tensor]) -> None:
    tensors["embedding.weight"] = tensors["embedding.weight"].half()


def spoil_names(tensors: dict[str, torch.Tensor]) -> None:
    tensors["extra"] = torch.zeros(1)


@pytest.mark.parametrize("spoil", [spoil_number, spoil_shape, spoil_dtype, spoil_names])
def test_weights_that_do_not_fit_the_model_are_refused(
    make: Callable[..., TrainState], tmp_path: Path, spoil: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    state = make(2)
    checkpoint.save(tmp_path / "c", state, FACTS, finished=True)
    tensors = checkpoint.load_weights(tmp_path / "c")
    spoil(tensors)
    rewrite(tmp_path / "c", "ema.safetensors", safetensors.torch.save(tensors))
    with pytest.raises(WorkError, match=r"bad_checkpoint"):
        checkpoint.load_weights(tmp_path / "c", state.model)


def test_weights_of_one_kind_of_model_do_not_fit_another(make: Callable[..., TrainState], tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", make(1), FACTS)
    with pytest.raises(WorkError, match="bad_checkpoint"):
        checkpoint.load_weights(tmp_path / "c", nn.Linear(2, 2))
