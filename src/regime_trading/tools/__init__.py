"""The numbers: pure functions on arrays."""
