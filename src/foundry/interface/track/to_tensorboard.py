"""TensorBoard: a folder for each run with one event file that grows, written with TensorBoard's own record writer.

It can tell: the file is read back, and a record that a kill cut off is cut away.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from foundry.interface.track.tracker import Point, Run

_Event: Any = import_module("tensorboard.compat.proto.event_pb2").Event
_hparams: Any = import_module("tensorboard.plugins.hparams.plugin_data_pb2")
_metadata: Any = import_module("tensorboard.plugins.hparams.metadata")
_Writer: Any = import_module("tensorboard.summary.writer.record_writer").RecordWriter
STATUS = {"done": 1, "failed": 2, "running": 3}
FRAME = 12, 4
"""Bytes of a record before and after its data: length and two checksums."""


class Exported:
    def __init__(self, into: Path) -> None:
        self.into = into

    def begin(self, run: Run) -> int:
        folder = self.into / run.run
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.started = folder / "events.out.tfevents.0000000000.foundry", run.started_unix
        self.step, self.said = 0, dict[str, bytes]()
        whole = 0
        with open(self.path, "ab+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            while len(head := file.read(FRAME[0])) == FRAME[0]:
                end = file.tell() + (length := int.from_bytes(head[:8], "little")) + FRAME[1]
                if end > size:
                    break
                event, whole = _Event.FromString(file.read(length)), end
                file.seek(end)
                for value in event.summary.value:
                    if value.tag.startswith("train/"):
                        self.step = max(self.step, event.step)
                    else:
                        self.said[value.tag] = value.SerializeToString()
            file.truncate(whole)
        if not whole:
            self._write([_Event(wall_time=run.started_unix, file_version="brain.Event:2")])
        return self.step

    def points(self, points: list[Point]) -> None:
        self._write([self._event(point.step, point.seconds, point.values) for point in points])
        self.step = points[-1].step

    def finish(self, run: Run) -> None:
        begun = _hparams.SessionStartInfo(group_name=run.run, start_time_secs=run.started_unix)
        about = {**run.config, "name": run.name, "status": run.status, "tags": " ".join(run.tags)}
        for key, value in about.items():
            kind = {bool: "bool_value", str: "string_value"}.get(type(value), "number_value")
            setattr(begun.hparams[key], kind, value)
        ended = _hparams.SessionEndInfo(status=STATUS.get(run.status, 0), end_time_secs=run.ended_unix or 0)
        scores = {key: run.summary[key] for key in ("val_bpb", "certification_bpb") if key in run.summary}
        event = self._event(self.step, float(run.summary.get("seconds", 0)), scores)
        for tag, data in (
            (_metadata.SESSION_START_INFO_TAG, _hparams.HParamsPluginData(session_start_info=begun)),
            (_metadata.SESSION_END_INFO_TAG, _hparams.HParamsPluginData(session_end_info=ended)),
        ):
            metadata, data.version = _metadata.create_summary_metadata(data), _metadata.PLUGIN_DATA_VERSION
            metadata.plugin_data.content = data.SerializeToString(deterministic=True)  # else each process has its own
            event.summary.value.add(tag=tag, metadata=metadata, tensor=_metadata.NULL_TENSOR)
        fresh = [value for value in event.summary.value if self.said.get(value.tag) != value.SerializeToString()]
        if fresh:
            self.said |= {value.tag: value.SerializeToString() for value in fresh}
            said = _Event(wall_time=event.wall_time, step=event.step)
            said.summary.value.extend(fresh)
            self._write([said])

    def _event(self, step: int, seconds: float, values: dict[str, Any]) -> Any:
        event = _Event(wall_time=self.started + seconds, step=step)
        for tag, value in values.items():
            event.summary.value.add(tag=tag, simple_value=value)
        return event

    def _write(self, events: list[Any]) -> None:
        with open(self.path, "ab") as file:
            writer = _Writer(file)
            for event in events:
                writer.write(event.SerializeToString(deterministic=True))
            file.flush()
            os.fsync(file.fileno())
