"""Published results as a static STAC catalogue in a folder or a bucket."""
