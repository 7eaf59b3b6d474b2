"""Models out and in: a run as a folder that Hugging Face's transformers reads, and such a folder as a run's start."""
