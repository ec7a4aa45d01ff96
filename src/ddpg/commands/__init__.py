"""One file per command: its Python function and what its terminal side prints."""
