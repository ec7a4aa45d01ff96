"""One run: its loop, its drivers, its folder."""
