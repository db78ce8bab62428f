# mypy: ignore-errors
"""PyFilesystem's `FSTestCases` over `OSFS`, in folders of the current directory."""

import unittest
import uuid
from pathlib import Path

from fs.osfs import OSFS
from fs.test import FSTestCases


class TestOSFS(FSTestCases, unittest.TestCase):
    def make_fs(self):
        folder = Path.cwd() / uuid.uuid4().hex
        folder.mkdir()
        return OSFS(str(folder))
