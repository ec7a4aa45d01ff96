"""Where the agent acts: environments as pure functions, and the ids they are known by."""
