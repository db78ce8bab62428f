"""An account's host client, as configuration, options and key make it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vidfs.config import Account, MountOptions
from vidfs.errors import ConfigError, HostError, WrongKeyError
from vidfs.hosts.api import VideoHost
from vidfs.types import Secret

API_PARALLEL_DEFAULT = 16


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


@contextmanager
def naming_account(account: Account) -> Iterator[None]:
    """Host errors of the block say whose they are: a person may have many accounts."""
    try:
        yield
    except HostError as error:
        refusal = "the host refuses the key: " if isinstance(error, WrongKeyError) else ""
        text = f"account {account.name}: {refusal}{error}"
        raise type(error)(text, call=error.call) from error
