"""Boundaries of regions and fields: one module a file format, all giving the same features."""
