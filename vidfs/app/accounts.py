"""An account's host client, as configuration, options and key make it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vidfs.config import Account, MountOptions
from vidfs.errors import CallMissingError, ConfigError, HostError, SpoolDamagedError, WrongKeyError
from vidfs.hosts.api import Capabilities, VideoHost
from vidfs.tree.store import Store
from vidfs.types import Secret
from vidfs.volume.abilities import probe_abilities, restore_abilities

API_PARALLEL_DEFAULT = 16

_CALL_OF_ALL = "account/info"  # no kind of host lacks it


async def open_account(account: Account, key: Secret, options: MountOptions) -> VideoHost:
    """The client of *account*; nothing has crossed the network yet. Errors: ConfigError."""
    from vidfs.hosts import open_host

    try:
        return open_host(
            account.host,
            key=key,
            login=account.login,
            base_url=account.base_url,
            api_rate=options.api_rate_per_s,
            api_parallel=options.api_parallel or API_PARALLEL_DEFAULT,
            allow_http_upload=account.allow_http_upload,
        )
    except ConfigError as error:
        raise ConfigError(f"account {account.name}: {error}") from None


async def ask_abilities(host: VideoHost, state_dir: Path) -> Capabilities:
    """Ask *host*, fresh from `open_account`, anew what it can do; the next mount relies on it.

    Remembered where there is a catalogue; else the first mount asks. Errors: HostError.
    """
    with open_catalogue(state_dir, read_only=False) as store:
        return await probe_abilities(host, store, declared=host.capabilities)


def recall_abilities(host: VideoHost, state_dir: Path) -> bool:
    """Give *host*, fresh from `open_account`, what was found earlier. False: nothing is known."""
    with open_catalogue(state_dir, read_only=True) as store:
        return store is not None and restore_abilities(host, store)


@contextmanager
def open_catalogue(state_dir: Path, *, read_only: bool) -> Iterator[Store | None]:
    """None where there is none, or none that can be used: that is the mount's affair."""
    path = state_dir / "catalogue.sqlite"
    store = None
    if path.exists():
        with suppress(SpoolDamagedError):
            store = Store(path, read_only=read_only)
    try:
        yield store
    finally:
        if store is not None:
            store.close()


@contextmanager
def naming_account(account: Account) -> Iterator[None]:
    """Host errors of the block say whose they are: a person may have many accounts."""
    try:
        yield
    except CallMissingError as error:
        if error.call != _CALL_OF_ALL:
            raise
        where = account.base_url or "the host"
        raise ConfigError(
            f"account {account.name}: {where} is no address of {account.host}'s API "
            f"(it has no {error.call}): mend base_url"
        ) from None
    except HostError as error:
        refusal = "the host refuses the key: " if isinstance(error, WrongKeyError) else ""
        text = f"account {account.name}: {refusal}{error}"
        raise type(error)(text, call=error.call) from error
