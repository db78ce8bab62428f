"""The rest of a file that was changed here in part, from the host."""

from __future__ import annotations

from vidfs.content.reader import Readers
from vidfs.content.spool import SpoolFile, spool_errors
from vidfs.errors import ContentChangedError, SpoolDamagedError, SpoolError

_FETCH_BYTES = 1 << 20


class OtherContentError(SpoolDamagedError):
    """The rest of a file can't be had: the host holds something else under its code by now."""

    def __init__(self) -> None:
        super().__init__("it was changed here, and its other bytes are not the same at the host")


async def fetch_rest(file: SpoolFile, readers: Readers) -> None:
    """Bring those of *file*'s bytes that are still at the host into the spool.

    Errors: OtherContentError; HostError; SpoolFullError. What was fetched until then stays.
    """
    patch = file.patch
    if patch is None:
        return
    with spool_errors():
        reader = readers.acquire(patch.code, patch.base_bytes)
    try:
        while (part := patch.find_first_missing(_FETCH_BYTES)) is not None:
            data = await reader.read(part.start, len(part))
            if len(data) != len(part):
                raise SpoolError("the cache lost bytes while they were being fetched")
            file.fill(part.start, data)
    except ContentChangedError:
        raise OtherContentError from None
    finally:
        readers.release(reader)
    await file.make_whole()
