"""Closes each region's day as soon as its scene is there."""
