"""Skins over the verbs: command line, reports. May not: hold logic."""
