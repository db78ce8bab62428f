# mypy: ignore-errors
"""fsspec's abstract suites over `LocalFileSystem`, in folders of the current directory."""

import uuid
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests import abstract


class Local(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self):
        return LocalFileSystem(auto_mkdir=True)

    @pytest.fixture
    def fs_path(self):
        folder = Path.cwd() / uuid.uuid4().hex
        folder.mkdir()
        return str(folder)


class TestCopy(abstract.AbstractCopyTests, Local):
    pass


class TestGet(abstract.AbstractGetTests, Local):
    pass


class TestPut(abstract.AbstractPutTests, Local):
    pass


class TestOpen(abstract.AbstractOpenTests, Local):
    pass


class TestPipe(abstract.AbstractPipeTests, Local):
    pass
