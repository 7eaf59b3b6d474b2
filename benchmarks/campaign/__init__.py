"""The campaign against its peers, on recorded runs."""

import foundry  # noqa: F401  # before numpy, whose BLAS it keeps to one thread: every core has a replay of its own
