"""Is B better than A: arms of an equal budget, screening, certification on fresh seeds. May not: change a baseline."""
