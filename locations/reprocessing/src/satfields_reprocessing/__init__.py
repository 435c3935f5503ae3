"""Watches and drains the backlog of late data."""
