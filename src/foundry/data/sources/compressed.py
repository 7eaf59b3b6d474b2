"""A file's bytes, whether plain, gzip or zstd. May not: take half a compressed file for a whole one."""

from __future__ import annotations

import contextlib
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from foundry.core.errors import RequestError

SUFFIXES = ("", ".gz", ".zst")
CHUNK_BYTES = 4096  # of zstd: what one call may expand it to, some 170 MB at the worst, is what is in memory at once


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file, unpacked by its suffix. Reading raises EOFError where it was cut short, OSError, zlib.error, or
    RequestError for what isn't zstd."""
    if path.suffix != "" and path.suffix in SUFFIXES and path.stat().st_size == 0:
        raise EOFError("it is empty: cut short")
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            yield file  # pyright: ignore[reportReturnType]  (a GzipFile is read like any other)
    elif path.suffix == ".zst":
        try:
            import zstandard
        except ImportError:
            message, hint = ".zst needs zstandard", "run `pip install 'foundry-train[zstd]'`"
            raise RequestError("data.not_installed", str(path), message, hint=hint) from None
        try:
            with open(path, "rb") as raw:
                yield io.BufferedReader(_Frames(raw, zstandard.ZstdDecompressor()))
        except zstandard.ZstdError as error:
            raise RequestError("data.unreadable", str(path), f"not readable as zstd: {error}") from None
    else:
        with open(path, "rb") as file:
            yield file


class _Frames(io.RawIOBase):
    """What zstd frames hold, one after another. The library's own reader ends without a word where a frame is cut."""

    def __init__(self, raw: IO[bytes], decompressor: Any) -> None:
        self._raw, self._decompressor, self._frame = raw, decompressor, None
        self._packed, self._unpacked = b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._unpacked:
            packed, self._packed = self._packed or self._raw.read(CHUNK_BYTES), b""
            if not packed:
                if self._frame is not None:
                    raise EOFError("it ends inside a zstd frame: cut short")
                return 0
            self._frame = self._frame or self._decompressor.decompressobj()
            self._unpacked = memoryview(self._frame.decompress(packed))
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._unpacked))
        buffer[:size], self._unpacked = self._unpacked[:size], self._unpacked[size:]
        return size
