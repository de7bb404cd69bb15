"""The world: every folder implements ports from ``core``; the only I/O."""
