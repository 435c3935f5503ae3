"""Dagster, through its webserver."""
