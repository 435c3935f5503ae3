"""The page of maps: its files, and the routes that serve them."""
