"""The tree: names, inode numbers and attributes of everything in an account."""
