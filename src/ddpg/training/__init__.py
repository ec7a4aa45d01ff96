"""How it runs: the only room that knows all the others."""
