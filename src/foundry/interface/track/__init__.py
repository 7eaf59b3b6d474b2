"""Runs in other programs that show runs: exporters beside training, which read what is on the disk already."""
