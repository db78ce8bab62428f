"""The file system without FUSE."""

from vidfs.volume.files import Caching
from vidfs.volume.settings import Attr, Space, UploadStatus, VolumeSettings, VolumeStatus
from vidfs.volume.volume import NoListener, Volume

__all__ = [
    "Attr",
    "Caching",
    "NoListener",
    "Space",
    "UploadStatus",
    "Volume",
    "VolumeSettings",
    "VolumeStatus",
]
