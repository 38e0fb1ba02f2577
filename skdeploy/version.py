"""The package's version, which models' files name too."""

__version__ = "0.1.0"
