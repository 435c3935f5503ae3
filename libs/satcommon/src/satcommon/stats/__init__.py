"""What a scene says of fields: coverage, statistics, observations, and the state carried from day to day."""
