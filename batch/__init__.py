"""The batch deployment: score a table by intervals of time. `python -m batch.score --help`."""
