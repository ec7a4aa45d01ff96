"""The memory: a ring of stored rows, which windows of it are drawn, and how a window becomes a transition."""
