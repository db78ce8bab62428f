"""Suites that others wrote, run on mounts: behind `scripts/foreign-tests`."""
