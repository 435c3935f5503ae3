"""Webhooks: changes pushed to receivers, signed and in order."""
