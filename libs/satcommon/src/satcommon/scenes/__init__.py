"""Sources of scenes, and the scene: what a region has of a collection for one day."""
