"""The version of this package, whatever name it was installed by."""

__version__ = "0.1.0"
