"""Worked examples. The package skdeploy imports nothing from here."""
