"""Training without the pool: in this process, or in each of torchrun's.

    torchrun --nproc-per-node 2 -m foundry.train.direct payload.json

prints the result of `train.worker.main` as one JSON line from rank 0. May not: touch the ledger.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from foundry.core.errors import FoundryError, RequestError, RunFailure
from foundry.train import worker
from foundry.train.distributed import World, leave
from foundry.train.progress import LocalLine


def main(arguments: list[str]) -> int:
    """Train the payload in the JSON file named; exit codes as everywhere: 0 done, 1 failed, 2 refused."""
    line = LocalLine()
    line.heed_signals()
    try:
        result = worker.main(_payload(arguments), line)
    except (FoundryError, RunFailure) as error:
        print(error, file=sys.stderr)
        return error.exit_code if isinstance(error, FoundryError) else 1
    if World.from_torchrun().rank == 0:
        print(json.dumps(result))
    return 0


def _payload(arguments: list[str]) -> dict[str, Any]:
    if len(arguments) != 1:
        raise RequestError("train.no_payload", "", "name one file", hint="python -m foundry.train.direct payload.json")
    try:
        return json.loads(Path(arguments[0]).read_text())
    except (OSError, ValueError) as error:
        raise RequestError("train.bad_payload", arguments[0], str(error)) from None


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
