"""A column of strings in a parquet file, row by row. May not: read another column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundry.core.errors import RequestError
from foundry.data.sources import Document, Reader

BATCH_ROWS = 256  # so that a column of long documents is never in memory as a whole


def rows(path: Path, reader: Reader) -> Iterator[Document]:
    """Each row's text is a document. Raises RequestError that names the column or the row."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        hint = "run `pip install 'foundry-train[parquet]'`"
        raise RequestError("data.not_installed", str(path), "parquet needs pyarrow", hint=hint) from None
    field = reader.reading.field
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if field not in schema.names:
                raise RequestError(
                    "data.no_text", str(path), f"no column '{field}'", got=field, choices=list(schema.names)
                )
            kind = schema.field(field).type
            if not _is_text(pa.types, kind):
                raise RequestError("data.no_text", str(path), f"column '{field}' holds {kind}, not strings")
            row = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=[field]):
                for scalar in batch.column(0):
                    row += 1
                    try:
                        value = scalar.as_py()
                    except UnicodeDecodeError as error:
                        message = f"not UTF-8 at byte {error.start} of the text"
                        reader.refuse("data.not_utf8", f"{path}:{row}", message)
                        continue
                    yield from reader.document(f"{path.name}:{row}", f"{path}:{row}", value)
    except (pa.ArrowException, NotImplementedError) as error:
        raise RequestError("data.unreadable", str(path), f"not readable as parquet: {error}") from None


def _is_text(types: Any, kind: Any) -> bool:
    """Whether a column of this Arrow type holds strings or lists of them, in whatever encoding."""
    if types.is_dictionary(kind):
        return _is_text(types, kind.value_type)
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    if any(is_list(kind) for is_list in lists):
        kind = kind.value_type.value_type if types.is_dictionary(kind.value_type) else kind.value_type
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
