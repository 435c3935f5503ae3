"""Pixels: GeoTIFFs in, bands and classes on a region's grid, cloud-optimized GeoTIFFs out."""
