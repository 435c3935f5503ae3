"""The audit, repair, and garbage collection."""
