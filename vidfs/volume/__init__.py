"""The file system without FUSE."""

from vidfs.volume.settings import Attr, Space, UploadStatus, VolumeSettings, VolumeStatus
from vidfs.volume.volume import NoListener, Volume

__all__ = [
    "Attr",
    "NoListener",
    "Space",
    "UploadStatus",
    "Volume",
    "VolumeSettings",
    "VolumeStatus",
]
