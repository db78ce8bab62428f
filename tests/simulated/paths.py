"""Paths as the model writes them: "Films/a.mp4", the root is ""."""

from __future__ import annotations


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def is_scratch(path: str) -> bool:
    """Whether its bytes stay here. (What is renamed so when the host has it stays there.)"""
    return split(path)[1].startswith(".")


def is_below(path: str, folder: str) -> bool:
    return folder == "" or path == folder or path.startswith(folder + "/")
