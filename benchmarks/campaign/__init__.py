"""The campaign against its peers, on recorded runs. Matrices here are small, and every core has a replay of its own."""

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # read when numpy is first imported
