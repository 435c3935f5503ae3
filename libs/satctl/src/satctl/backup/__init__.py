"""Backups of the ledger: taken, checked and restored."""
