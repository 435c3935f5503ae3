"""What operators see of a process: its log lines, and the table of its metrics."""
