"""Every error vidfs raises on purpose. No errno here: `fuse/errnos.py` has that table.

VidfsError
├── UsageError               the caller's words are off (exit code 2)
│   └── ConfigError          the configuration file or an account in it
├── MountError               mounting, unmounting, locking
│   ├── NotMountedError      no vidfs mount there
│   ├── AlreadyMountedError  the account or the mount point is taken
│   └── MountPointError      missing, no directory, not empty, not ours
├── NodeError                what POSIX says of names and files
│   ├── NotFoundError  ExistsError  NotEmptyError  IsFolderError  NotFolderError
│   ├── NameTooLongError  InvalidArgumentError  FileTooBigError  ReadOnlyError
│   └── BadHandleError  NoAttributeError  BusyError
├── AbilityError             the host cannot do it, whoever asks
│   ├── NamespaceAbilityError    folders, deleting, links, owners
│   ├── MoveAbilityError         moving: `mv` then copies
│   ├── ContentAbilityError      reading bytes; attributes that can't be set
│   └── MediaTypeError           a name this host's account takes no file under
├── SpoolError               the local disk
│   ├── SpoolFullError
│   └── SpoolDamagedError    bytes or journal don't match what was sealed
│       └── NewerCatalogueError  written by a newer vidfs
└── HostError                what a host answered, or that it didn't
    ├── TransientHostError       may succeed when repeated
    │   ├── HostUnreachableError     no connection
    │   ├── HostTimeoutError
    │   ├── HostServerError          5xx
    │   ├── UnreadableAnswerError    HTML, truncated or mistyped JSON
    │   ├── RateLimitedError         429, "wait N", 509
    │   └── UploadNodeError          the upload server failed; nothing was stored
    ├── ContentChangedError      the bytes are no longer those that were asked for
    ├── OutcomeUnknownError      the request left whole, the answer never came: ask first
    └── PermanentHostError       will not succeed when repeated
        ├── HostNotFoundError        the host doesn't know the file or folder
        ├── AccessDeniedError        not ours, suspended
        │   ├── WrongKeyError   CaptchaError   LegalBlockError
        ├── QuotaError
        ├── BadRequestError
        ├── CallMissingError         this installation has no such call
        ├── InsecureUrlError         plain http, or a redirect to another scheme
        └── UploadRefusedError       a readable refusal after the upload
"""

from __future__ import annotations


class VidfsError(Exception):
    """Base of all. `str()` is one line that a person can read; it never holds a key."""


class UsageError(VidfsError):
    pass


class ConfigError(UsageError):
    pass


class MountError(VidfsError):
    pass


class NotMountedError(MountError):
    pass


class AlreadyMountedError(MountError):
    pass


class MountPointError(MountError):
    pass


class NodeError(VidfsError):
    pass


class NotFoundError(NodeError):
    pass


class StaleError(NodeError):
    """What the caller has looked up was removed since."""


class ExistsError(NodeError):
    pass


class NotEmptyError(NodeError):
    pass


class IsFolderError(NodeError):
    pass


class NotFolderError(NodeError):
    pass


class NameTooLongError(NodeError):
    pass


class InvalidArgumentError(NodeError):
    pass


class FileTooBigError(NodeError):
    pass


class ReadOnlyError(NodeError):
    pass


class BadHandleError(NodeError):
    pass


class NoAttributeError(NodeError):
    pass


class BusyError(NodeError):
    pass


class AbilityError(VidfsError):
    pass


class NamespaceAbilityError(AbilityError):
    pass


class MoveAbilityError(AbilityError):
    pass


class ContentAbilityError(AbilityError):
    pass


class MediaTypeError(AbilityError):
    pass


class SpoolError(VidfsError):
    pass


class SpoolFullError(SpoolError):
    pass


class SpoolDamagedError(SpoolError):
    pass


class NewerCatalogueError(SpoolDamagedError):
    pass


class HostError(VidfsError):
    """What a host answered.

    `call` is the API call's name ("file/list"), for logs and messages.
    """

    def __init__(self, message: str, *, call: str = "") -> None:
        super().__init__(message)
        self.call = call


class TransientHostError(HostError):
    """May succeed if repeated. `retry_after_s`: what the host asked to wait, if it said."""

    def __init__(self, message: str, *, call: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, call=call)
        self.retry_after_s = retry_after_s


class HostUnreachableError(TransientHostError):
    pass


class HostTimeoutError(TransientHostError):
    pass


class HostServerError(TransientHostError):
    pass


class UnreadableAnswerError(TransientHostError):
    pass


class RateLimitedError(TransientHostError):
    pass


class UploadNodeError(TransientHostError):
    pass


class ContentChangedError(HostError):
    """Other bytes than those that were asked for. `size_bytes`: of the new ones, if known."""

    def __init__(self, message: str, *, call: str = "", size_bytes: int | None = None) -> None:
        super().__init__(message, call=call)
        self.size_bytes = size_bytes


class OutcomeUnknownError(HostError):
    pass


class PermanentHostError(HostError):
    pass


class HostNotFoundError(PermanentHostError):
    pass


class AccessDeniedError(PermanentHostError):
    pass


class WrongKeyError(AccessDeniedError):
    pass


class CaptchaError(AccessDeniedError):
    pass


class LegalBlockError(AccessDeniedError):
    pass


class QuotaError(PermanentHostError):
    pass


class BadRequestError(PermanentHostError):
    pass


class CallMissingError(PermanentHostError):
    pass


class InsecureUrlError(PermanentHostError):
    pass


class UploadRefusedError(PermanentHostError):
    pass


class UploadLostError(PermanentHostError):
    pass


class UploadDamagedError(UploadLostError):
    """The host keeps other bytes than it was sent."""
