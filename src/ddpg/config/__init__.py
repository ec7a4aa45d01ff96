"""The configuration of a run: one frozen value, its checks, its file and its presets."""
