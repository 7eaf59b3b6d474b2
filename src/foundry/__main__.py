"""`python -m foundry` is `foundry`."""

import sys

from foundry.interface.door import main

if __name__ == "__main__":
    sys.exit(main())
