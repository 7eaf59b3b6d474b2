"""Checkpoints: weights and optimizer as safetensors, the rest as JSON, every file hashed in a manifest. Never pickle.

A checkpoint is a folder: model.safetensors, ema.safetensors if there is an average, optimizer.safetensors unless the
run is finished, state.json, manifest.json. It is written beside the old one under the name `<folder>.new`, its
manifest last; a `.new` with a manifest is therefore whole, and replaces the old one now or after a crash.
May not: trust a file's content, follow a link, or run anything that it reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from foundry.core.errors import MachineTrouble, RequestError, WorkError
from foundry.core.files import sync_directory
from foundry.train.state import TrainState

MODEL, AVERAGE, OPTIMIZER = "model.safetensors", "ema.safetensors", "optimizer.safetensors"
STATE, MANIFEST = "state.json", "manifest.json"
MAX_MANIFEST_BYTES = 64 * 1024


def save(folder: Path, state: TrainState, facts: Mapping[str, Any], finished: bool = False) -> None:
    """Replace the checkpoint in `folder`, durable on return; until then the old one stays usable.

    facts: what else to remember, plain JSON. A finished run takes no further step, so its optimizer is left out.
    Raises OSError, and leaves the old checkpoint.
    """
    record: dict[str, Any] = {"step": state.step, "facts": dict(facts)}

    def files() -> Iterator[tuple[str, bytes]]:  # one in memory at a time
        yield MODEL, _tensor_bytes(state.weights)
        if state.average is not None:
            yield AVERAGE, _tensor_bytes(state.average)
        if not finished:
            tensors: dict[str, Tensor] = {}
            record["optimizer"] = _plain(state.optimizer.state_dict(), "", tensors)
            yield OPTIMIZER, _tensor_bytes(tensors)
        yield STATE, _json_bytes(record)

    _replace(folder, state.step, files())


def load(folder: Path, state: TrainState, identity: str) -> dict[str, Any] | None:
    """Put the newest good checkpoint into `state`; returns the facts saved with it, None when there is none.

    Raises RequestError when it belongs to another run (its facts' `identity` differs), WorkError when every
    checkpoint present is torn, altered or doesn't fit.
    """
    new = folder.with_name(folder.name + ".new")
    present = [place for place in (new, folder) if os.path.lexists(place / MANIFEST if place == new else place)]
    problem: WorkError | None = None
    for place in present:
        try:
            files = _read_all(place)
        except WorkError as error:
            problem = error
            continue
        try:
            return _put(files, state, identity, place)
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # hashed, and yet not of our making
            raise _bad(place, f"{type(error).__name__}: {error}") from error
    if problem is not None:
        raise problem
    return None


def discard(folder: Path) -> None:
    """Remove the checkpoint, whole or not, and what was to replace it."""
    for place in (folder.with_name(folder.name + ".new"), folder):
        shutil.rmtree(place, ignore_errors=True)


def load_weights(folder: Path, model: nn.Module | None = None, last: bool = False) -> dict[str, Tensor]:
    """The judged weights of a checkpoint, on the CPU: the average if there is one. By parameter name, a tied one once.
    last: those of the last step in any case.

    With a model, they are checked against it and put into it. Raises WorkError for a checkpoint that is missing, torn,
    altered, reached through a link, or doesn't fit.
    """
    with _opened(folder) as handle:
        entries = _manifest(handle, folder)
        name = MODEL if last or AVERAGE not in entries else AVERAGE
        tensors = _tensors(_verified(handle, folder, name, entries), folder / name)
    if model is not None:
        own = {each: parameter.detach() for each, parameter in model.named_parameters()}
        check(tensors, own, folder / name)
        for each, tensor in tensors.items():
            own[each].copy_(tensor)
    return tensors


def copy(source: Path, folder: Path) -> int | None:
    """Copy a whole checkpoint, reading through no link and checking every hash, in place of the one in `folder`.

    Returns the step that it says it is at; None, and nothing is copied, when there is none. Raises WorkError for one
    that is torn or altered."""
    if not os.path.lexists(source):
        return None
    files = _read_all(source)
    try:
        step = json.loads(files[STATE])["step"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _bad(source / STATE, f"{type(error).__name__}: {error}") from None
    if not isinstance(step, int) or step < 0:
        raise _bad(source / STATE, "has no step")
    _replace(folder, step, files.items())
    return step


def check(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor], place: Path) -> None:
    """Raises WorkError unless `tensors` has exactly the names, shapes and dtypes of `like`, and finite numbers."""
    if tensors.keys() != like.keys():
        raise _bad(place, f"lacks or has in excess {', '.join(sorted(tensors.keys() ^ like.keys())[:4])}")
    for name, tensor in tensors.items():
        if tensor.shape != like[name].shape or tensor.dtype != like[name].dtype:
            need = f"{like[name].dtype} {list(like[name].shape)}"
            raise _bad(place, f"{name} is {tensor.dtype} {list(tensor.shape)}, the model has {need}")
        if not bool(torch.isfinite(tensor).all()):
            raise _bad(place, f"{name} is not finite")


def _put(files: dict[str, bytes], state: TrainState, identity: str, place: Path) -> dict[str, Any]:
    record = json.loads(files[STATE])
    if record["facts"]["identity"] != identity:
        hint = "give this run a folder of its own"
        raise RequestError("train.other_run", str(place), "is the checkpoint of another run", hint=hint)
    for name, own in ((MODEL, state.weights), (AVERAGE, state.average)):
        if (name in files) != (own is not None):
            raise _bad(place / name, "missing" if own is not None else "unexpected")
        if own is not None:
            tensors = _tensors(files[name], place / name)
            check(tensors, own, place / name)
            for each, tensor in tensors.items():
                own[each].copy_(tensor)
    if OPTIMIZER in files:
        tensors = _tensors(files[OPTIMIZER], place / OPTIMIZER)
        state.optimizer.load_state_dict(_lively(record["optimizer"], tensors))
    state.step = int(record["step"])
    return record["facts"]


def _replace(folder: Path, step: int, files: Iterable[tuple[str, bytes]]) -> None:
    """Put a checkpoint of these files in place of the one in `folder`."""
    new = folder.with_name(folder.name + ".new")
    _finish_replacing(folder, new)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    entries = {name: _write(new / name, data) for name, data in files}
    sync_directory(new)
    _write(new / MANIFEST, _json_bytes({"step": step, "files": entries}))
    sync_directory(new)
    _finish_replacing(folder, new)


def _finish_replacing(folder: Path, new: Path) -> None:
    if (new / MANIFEST).exists():
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(new, folder)
        sync_directory(folder.parent)


def _write(path: Path, data: bytes) -> dict[str, Any]:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A handle of the folder itself, so that what is read below it can't be swapped for another folder."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise _torn(folder, f"no checkpoint folder here: {error.strerror}") from None
    try:
        yield handle
    finally:
        os.close(handle)


def _read_all(folder: Path) -> dict[str, bytes]:
    with _opened(folder) as handle:
        entries = _manifest(handle, folder)
        return {name: _verified(handle, folder, name, entries) for name in entries}


def _manifest(handle: int, folder: Path) -> dict[str, dict[str, Any]]:
    try:
        entries = json.loads(_read(handle, folder, MANIFEST, MAX_MANIFEST_BYTES))["files"]
        shape_holds = all(isinstance(e["bytes"], int) and isinstance(e["sha256"], str) for e in entries.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        shape_holds, entries = False, {}
    if not shape_holds or not {MODEL, STATE} <= entries.keys() <= {MODEL, AVERAGE, OPTIMIZER, STATE}:
        raise _torn(folder / MANIFEST, "is not a checkpoint's manifest")
    return entries


def _verified(handle: int, folder: Path, name: str, entries: dict[str, dict[str, Any]]) -> bytes:
    expected = entries[name]
    data = _read(handle, folder, name, expected["bytes"])
    if len(data) != expected["bytes"] or hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise _torn(folder / name, "is not what was saved: its hash differs")
    return data


def _read(handle: int, folder: Path, name: str, at_most_bytes: int) -> bytes:
    """A regular file's bytes, through no link, and never more than expected (a pipe or a huge file can't stall us)."""
    try:
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > at_most_bytes:
                raise _torn(folder / name, "is not a regular file of the size that was saved")
            return file.read(at_most_bytes)
    except OSError as error:
        raise _torn(folder / name, f"can't be read: {error.strerror}") from None


def _tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: tensor.detach().contiguous() for name, tensor in tensors.items()})


def _tensors(data: bytes, place: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise _bad(place, f"is not safetensors: {error}") from None


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def _plain(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """An optimizer's state as JSON that keeps types: tensors go to `tensors` and leave their name."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, Tensor):
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_plain(item, f"{path}.{i}", tensors) for i, item in enumerate(value)]}
    if isinstance(value, dict):
        return {"dict": [[key, _plain(item, f"{path}.{key}", tensors)] for key, item in value.items()]}
    raise WorkError("train.unsaved_state", path, f"{type(value).__name__} in an optimizer's state can't be saved")


def _lively(value: Any, tensors: dict[str, Tensor]) -> Any:
    """What `_plain` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "float":
        return float(content)
    if kind == "dict":
        return {key: _lively(item, tensors) for key, item in content}
    items = [_lively(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


def _torn(place: Path, message: str) -> MachineTrouble:
    hint = "the run trains it again: foundry train RUN --weights"
    return MachineTrouble("train.torn_checkpoint", str(place), message, hint=hint)


def _bad(place: Path, message: str) -> WorkError:
    return WorkError("train.bad_checkpoint", str(place), message)
