"""What each verb answers, as frozen dataclasses: what `--json` prints, a report on disk holds, and every skin shows.

A document knows its keys and nothing else; docs/schema.json is made of them (schema.py). May not: compute, read, print.
"""
