"""Running code that isn't trusted: a harness outside the sandbox, and the process inside it."""
