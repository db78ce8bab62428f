"""The kernel's side: the only package that imports pyfuse3."""
