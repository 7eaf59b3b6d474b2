"""Training tokens → batches: every batch is a pure function of (seed, step), so there is no loader state to save.

The only file of this room that knows torch. Shapes: P population, B rows of one process, T context.
May not: remember anything between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from foundry.core.errors import RequestError
from foundry.core.seeds import stream_seed
from foundry.data import manifest_dir
from foundry.data.prepared import too_few_tokens

IN_MEMORY_BYTES = 1 << 30


def open_tokens(train_dir: Path | str) -> Tensor:
    """All training ids: uint16 or uint32 [n], in memory up to 1 GiB, else mapped. Raises WorkError `data.corrupt`."""
    folder = Path(train_dir)
    dtype = np.dtype(manifest_dir.manifest(folder)["dtype"])
    path = folder / "tokens.bin"
    if path.stat().st_size <= IN_MEMORY_BYTES:
        return torch.from_numpy(np.fromfile(path, dtype=dtype))
    return torch.from_numpy(np.memmap(path, dtype=dtype, mode="c"))  # "c": torch wants it writable; the file stays


def batch(tokens: Tensor, context: int, batch_size: int, seed: int, step: int, rank: int = 0, world: int = 1) -> Tensor:
    """Random windows of context + 1 ids: int64 [batch_size / world, context + 1], on the device of `tokens`.

    Rank r of `world` gets the r-th part of the global batch's rows. Raises RequestError when there are too few tokens
    or the batch can't be shared out evenly.
    """
    starts = _starts(tokens, context, batch_size, seed, step)[_rows(batch_size, rank, world)]
    return _gather(tokens, torch.from_numpy(starts), context)


def population_batch(
    tokens: Tensor, context: int, batch_size: int, seeds: Sequence[int], step: int, rank: int = 0, world: int = 1
) -> Tensor:
    """`batch` of each member's seed: int64 [P, batch_size / world, context + 1].

    Where all members have one seed the result is a view of one batch: it is gathered once and not to be written to.
    """
    rows = _rows(batch_size, rank, world)
    starts = {seed: _starts(tokens, context, batch_size, seed, step)[rows] for seed in dict.fromkeys(seeds)}
    if len(starts) == 1:
        shared = _gather(tokens, torch.from_numpy(starts[seeds[0]]), context)
        return shared.expand(len(seeds), -1, -1)
    return _gather(tokens, torch.from_numpy(np.stack([starts[seed] for seed in seeds])), context)


def _starts(tokens: Tensor, context: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Where the global batch's windows begin: int64 [batch_size]."""
    windows = len(tokens) - context
    if windows < 1:
        raise too_few_tokens(len(tokens), context)
    # Raw words of a counter-based generator, not Generator.integers, whose stream may change between numpy versions.
    # The remainder favours early windows by less than windows / 2^64.
    words = np.random.Philox(key=stream_seed(seed, "data", step)).random_raw(batch_size)
    return (words % np.uint64(windows)).astype(np.int64)


def _rows(batch_size: int, rank: int, world: int) -> slice:
    if not 0 <= rank < world or batch_size % world:
        message = f"batch_size {batch_size} can't be shared by {world} processes (rank {rank})"
        raise RequestError("data.uneven_batch", "train.batch_size", message)
    size = batch_size // world
    return slice(rank * size, (rank + 1) * size)


def _gather(tokens: Tensor, starts: Tensor, context: int) -> Tensor:
    """starts [.., B] → int64 [.., B, T + 1], in one gather."""
    # Gathered as signed integers of the same width: devices lack kernels for unsigned ones.
    signed, mask = (torch.int16, 0xFFFF) if tokens.dtype == torch.uint16 else (torch.int32, 0xFFFFFFFF)
    places = starts.to(tokens.device).unsqueeze(-1) + torch.arange(context + 1, device=tokens.device)
    return tokens.view(signed)[places].to(torch.int64) & mask
