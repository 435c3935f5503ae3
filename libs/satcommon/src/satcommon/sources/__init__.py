"""Sources of scenes, and the mosaic of a day's acquisitions."""
