"""What `satctl metrics` serves: collectors, each asked in time, and the page that they make."""
