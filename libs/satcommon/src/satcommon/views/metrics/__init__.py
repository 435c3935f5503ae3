"""What the ledger gives for the table of `satcommon.telemetry.metrics`; the number of queries knows no regions."""
