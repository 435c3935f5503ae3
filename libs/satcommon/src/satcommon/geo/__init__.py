"""Grids and polygons."""
