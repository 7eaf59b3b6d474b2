"""What a confined process may reach and use. May not: enforce anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundry.core import places

_PASSED_ON = ("LANG", "LC_ALL", "TZ", "PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED")
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PASSED_ON_PREFIXES = ("OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "TORCH_", "CUBLAS_")


@dataclass(frozen=True)
class Policy:
    """Paths are absolute. Everything that isn't named here is out of reach."""

    read: tuple[Path, ...] = ()
    """Files and trees that may be read and executed, besides what code needs (reach.py)."""
    write: Path | None = None
    """The one folder that may be written; it exists."""
    devices: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment inside."""
    memory_bytes: int = 0
    """Beyond what is mapped already; 0 for no limit. With devices, what their drivers reserve isn't counted."""
    processes: int = 1
    """1: none can be started."""
    threads: bool = True
    """Whether any can be started."""
    file_bytes: int = 1 << 32
    """Largest file that can be written."""
    open_files: int = 512
    cpu_seconds: int = 0
    """0 for no limit."""

    def to_json(self) -> dict[str, Any]:
        return {
            **vars(self),
            "read": [str(path) for path in self.read],
            "write": self.write and str(self.write),
            "devices": [str(path) for path in self.devices],
            "env": dict(self.env),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Policy:
        """What `to_json` gave."""
        paths = {key: tuple(map(Path, value[key])) for key in ("read", "devices")}
        return cls(**{**value, **paths, "write": value["write"] and Path(value["write"])})


def own_process_paths() -> tuple[Path, ...]:
    """Of /proc, what this process may look up of itself; not its status, which counts the user's signals."""
    return tuple(Path(f"/proc/{os.getpid()}/{name}") for name in ("maps", "mem", "stat", "statm", "cmdline"))


DEVICES = Path("/dev")


def accelerator_devices(device: str = "cuda") -> tuple[Path, ...]:
    """The NVIDIA devices of this machine, for what computes on `device`: none for the processor."""
    found = (path for pattern in ("nvidia*", "nvidia-caps/*") for path in sorted(DEVICES.glob(pattern)))
    return tuple(path for path in found if not path.is_dir()) if device != "cpu" else ()


def passed_on(**more: str) -> dict[str, str]:
    """The part of our environment that holds no secrets and changes how numbers are computed, and `more`.

    Numeric libraries are told to start no threads when they are imported: a process is confined while it has one.
    """
    names = [name for name in os.environ if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)]
    known = {name: os.environ[name] for name in names}  # other values are never decoded: no copy of them is left
    return {**known, **dict.fromkeys(_ONE_THREAD, "1"), **more}


def contestant_policy(checkpoint: Path, device: str, threads: int) -> Policy:
    """For answering the judge: weights and the workspace to read, nothing to write; threads if it computes so."""
    return Policy(
        read=(checkpoint.absolute(), _workspace()),
        devices=accelerator_devices(device),
        env=passed_on(FOUNDRY_WORKSPACE=str(_workspace())),
        threads=threads > 1 or device != "cpu",
    )


def _workspace() -> Path:
    return places.workspace().absolute()
