"""Where a run's weights start: random, or what a file has by name. May not: fetch, or drop a weight unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
from pydantic import Field, SerializationInfo, model_serializer, model_validator

from foundry.core import places
from foundry.core.errors import RequestError, RunFailure, WorkError
from foundry.core.files import why_no_file
from foundry.core.fingerprint import LENGTH, bytes_fingerprint, file_fingerprint
from foundry.core.section import IDENTITY, Section
from foundry.model import GPT


class InitConfig(Section):
    """Recipe section `init`: weights to begin with, in the form of `foundry import`."""

    from_: str = Field(alias="from", min_length=1, max_length=4096)
    """A safetensors file, from the project's folder."""
    hash: str = Field(default="", pattern=rf"^[0-9a-f]{{{LENGTH}}}$")
    """Of what the file holds, which is its part of the recipe's identity. Filled in where it is left out."""

    @model_validator(mode="before")
    @classmethod
    def _as_it_is_now(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("from"), str) or values.get("hash"):
            return values
        file = places.root() / Path(values["from"]).expanduser()
        try:
            return {**values, "hash": file_fingerprint(file)}
        except OSError:
            raise RequestError("init.no_file", "init.from", why_no_file(file), got=values["from"]) from None

    @model_serializer
    def _identity(self, info: SerializationInfo) -> dict[str, str]:
        """One file is one start wherever it lies."""
        return {"hash": self.hash} if info.context == IDENTITY else {"from": self.from_, "hash": self.hash}

    def start(self) -> dict[str, str]:
        """As a job has it: workers may stand elsewhere."""
        return {"file": str((places.root() / Path(self.from_).expanduser()).absolute()), "hash": self.hash}


class Start(Section):
    """Of a job."""

    file: str
    hash: str


@torch.no_grad()
def begin(model: GPT, start: Start) -> None:
    """Put the file's weights into a model that is initialised; what the file lacks stays as it began.

    Raises WorkError for a file that is gone or another by now; RunFailure `invalid` where one of its weights has no
    place in the model."""
    try:
        content = Path(start.file).read_bytes()
    except OSError as error:
        raise WorkError("init.no_file", start.file, str(error.strerror), hint="foundry import makes it again") from None
    if bytes_fingerprint(content) != start.hash:
        hint = "leave out `hash` to take it as it is now: another recipe"
        raise WorkError("init.changed", start.file, "holds other weights than the recipe begins with", hint=hint)
    try:
        given = safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise WorkError("init.bad_file", start.file, f"is not safetensors: {error}") from None
    own = dict(model.named_parameters())
    for name, tensor in given.items():
        place = own.get(name)
        if place is None or place.shape != tensor.shape:
            here = "no place" if place is None else f"a place for {list(place.shape)}"
            raise RunFailure("invalid", f"init has {name} of {list(tensor.shape)}, and the model {here}")
        place.copy_(cast(torch.Tensor, tensor))
