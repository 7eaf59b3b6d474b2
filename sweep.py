"""`python sweep.py …` is `foundry sweep …`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from foundry.interface.door import open_door

if __name__ == "__main__":
    open_door("sweep")
