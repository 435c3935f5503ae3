"""What the locations do, step by step: ingest a day, close it, and replay late data."""
