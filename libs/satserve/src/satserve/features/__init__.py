"""Boundaries as features: which there are, and which of them a request means."""
