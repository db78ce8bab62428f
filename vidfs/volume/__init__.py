"""The file system without FUSE."""

from vidfs.volume.settings import Attr, Space, UploadStatus, VolumeSettings, VolumeStatus
from vidfs.volume.volume import Volume

__all__ = ["Attr", "Space", "UploadStatus", "Volume", "VolumeSettings", "VolumeStatus"]
