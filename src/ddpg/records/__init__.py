"""What a run leaves behind: its log, its networks, its pictures."""
