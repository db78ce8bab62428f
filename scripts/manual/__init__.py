"""What `scripts/man` makes."""
