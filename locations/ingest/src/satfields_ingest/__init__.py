"""Fetches scenes and registers them."""
