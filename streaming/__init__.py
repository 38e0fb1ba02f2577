"""The stream door's entries; the logic is in `skdeploy.stream`. `python -m streaming.consume --help`."""
