"""The database: models, engine, registry (regions, fields, seasons), ledger (expected, missed, published)."""
