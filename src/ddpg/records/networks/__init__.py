"""Networks as files: one description of a forward pass, and its writers and readers."""
