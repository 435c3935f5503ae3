"""What `satctl doctor` checks."""
