"""Makes `fakes` importable for the tests of every layer below."""
