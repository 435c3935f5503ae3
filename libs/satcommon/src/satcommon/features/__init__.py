"""Files of boundaries: one module a format, all of which give the same `Features`."""
