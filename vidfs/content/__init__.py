"""Bytes: being read, being written, on their way to the host."""
