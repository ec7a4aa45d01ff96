"""The relatives of DDPG, each a page to read beside its paper: REINFORCE, DPG with linear features, DQN."""
