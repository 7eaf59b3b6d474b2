"""Long tests of whole campaigns: kills without end, ten thousand runs. `make soak` runs them; they take a while."""
