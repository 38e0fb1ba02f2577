"""The stream door's entries; the logic is in `skdeploy.stream`."""
