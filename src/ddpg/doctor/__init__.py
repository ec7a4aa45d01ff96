"""What an environment is like: examined, advised on, reported."""
