"""The page that `ddpg report` writes: one HTML file with its pictures inside."""
