"""A field's rows of many days, fast."""
