"""What `scripts/host-table` and `scripts/host-calls` print."""
