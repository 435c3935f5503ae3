"""What people look at: a field's season, its chart, a region's map and status."""
