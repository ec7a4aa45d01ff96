"""Sweeps: a search for settings, several seeds per trial, and the preset that it finds."""
