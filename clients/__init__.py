"""Foundry in the hands of its real clients, such as a browser: `make check-clients`."""
