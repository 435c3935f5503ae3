"""The audit and what it leads to: repair, and the collection of garbage."""
