"""The published rows and how they are read."""
