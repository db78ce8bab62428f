"""What a probe found an account's host to be able to, remembered in the catalogue.

Remembered with what the host's record declared at the time: a record that has changed since
(another host, a newer vidfs) makes what was found worthless, and the host is asked anew.
"""

from __future__ import annotations

import msgspec

from vidfs.hosts.api import Capabilities, VideoHost
from vidfs.tree.store import Store

_META_KEY = "capabilities"


class _Remembered(msgspec.Struct, forbid_unknown_fields=True):
    declared: Capabilities
    found: Capabilities


def restore_abilities(host: VideoHost, store: Store) -> bool:
    """Give *host*, fresh from `open_host`, what the last probe found. False: nothing is known."""
    text = store.find_meta(_META_KEY)
    if not text:
        return False
    try:
        remembered = msgspec.json.decode(text, type=_Remembered)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if remembered.declared != host.capabilities:
        return False
    host.restore(remembered.found)
    return True


async def probe_abilities(
    host: VideoHost, store: Store | None, *, declared: Capabilities
) -> Capabilities:
    """Ask *host* and remember its answers. *declared*: what its record says.

    Errors: HostError; nothing is changed then.
    """
    found = await host.probe()
    if store is not None:
        remembered = _Remembered(declared=declared, found=found)
        store.save_meta(_META_KEY, msgspec.json.encode(remembered).decode())
    return found
