"""What the locations do, step by step: a day's answer, its closing, and the replay of late data."""
