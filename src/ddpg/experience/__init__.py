"""What is remembered: a ring of stored steps, and how a window of them is read as a transition."""
