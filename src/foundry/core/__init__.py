"""What every room uses and what knows no ML: errors, slots, YAML, fingerprints, files."""
