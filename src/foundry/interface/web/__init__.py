"""The page: one HTML, as a file and live. May not: write to the ledger, or import torch."""
