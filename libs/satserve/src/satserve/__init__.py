"""Satfields' results by HTTP, read-only: an OGC API over the registry and the publication log."""
