"""The crash soak behind `scripts/soak-crash`."""
