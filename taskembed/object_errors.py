"""Translates errors of object stores into TaskembedErrors.

The text of the library's errors contains the server's answer and the whole address. Only known
parts are taken from it, since the rest may contain secrets, or a page of HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus as Status
from typing import Literal

from taskembed.errors import (
    AccessDeniedError,
    BadInputError,
    NotFoundError,
    ServerUnavailableError,
    StorageError,
    TaskembedError,
    UsageError,
    from_os_error,
)

CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_REGION, AWS_ENDPOINT_URL), "
    'or: eval "$(aws configure export-credentials --format env)"',
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to the file of a key",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or "
    "AZURE_STORAGE_SAS_TOKEN",
}
Operation = Literal["read", "list", "write", "remove"]
PERMISSIONS: dict[str, dict[Operation, str]] = {  # as the clouds name them
    "s3": {
        "read": "s3:GetObject",
        "list": "s3:ListBucket",
        "write": "s3:PutObject",
        "remove": "s3:DeleteObject",
    },
    "gs": {
        "read": "storage.objects.get",
        "list": "storage.objects.list",
        "write": "storage.objects.create and storage.objects.delete",  # to replace is both
        "remove": "storage.objects.delete",
    },
    "az": {
        "read": "Storage Blob Data Reader",
        "list": "Storage Blob Data Reader",
        "write": "Storage Blob Data Contributor",
        "remove": "Storage Blob Data Contributor",
    },
}
TRY_LATER = "try the same command again later"
_SIGNED = "the address itself must give access: a signed one, or one with a password"
_PREFIXES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
# addresses of the metadata services of clouds, and messages about missing credentials
_NOBODY = re.compile(
    r"169\.254\.16\d\.\d+|169\.254\.170\.\d+|metadata\.google|token request"
    r"|Missing \w*Key|must be specified"
)
_NO_TLS = re.compile(r"BadScheme|builder error")
_NO_LENGTH = re.compile(r"MissingContentLength|Content-Length Header missing")
_TIMEOUT = re.compile(r"kind: Timeout|TimedOut")
_UNREACHED = re.compile(r"kind: Connect|error sending request")


class NoBucketError(NotFoundError):
    """There is no such bucket or container."""


class ChangedError(TaskembedError):
    """An object was changed since it was read."""

    exit_code = StorageError.exit_code


class NoPartsError(UsageError):
    """A server over HTTP can send only all of an object."""


@dataclass(frozen=True, slots=True)
class _ErrorFacts:
    """The known parts of an error of the library."""

    kind: str  # the name of the error's class
    text: str
    status: int  # of HTTP; 0 if there was no answer
    code: str  # of S3 and Azure: "NoSuchBucket"

    def has(self, *signs: str | int) -> bool:
        """Return whether the class, the code or the status is among `signs`."""
        return bool({self.kind, self.code, self.status} & set(signs))


def is_beyond_end(error: Exception) -> bool:
    """Return whether an error means that the requested position is beyond an object's end."""
    found = _STATUS.search(str(error))
    return found is not None and int(found[1]) == Status.REQUESTED_RANGE_NOT_SATISFIABLE


def refusal(
    error: Exception, what: str, scheme: str, operation: Operation = "read"
) -> TaskembedError:
    """Return the TaskembedError for an error of the library.

    Args:
        error: the error of the library.
        what: the address in its printable form.
        scheme: the scheme of the address: "s3".
        operation: what was asked of the server.

    Returns:
        NotFoundError: no such bucket or object.
        AccessDeniedError: the server denies access, or there are no credentials.
        ChangedError: the object was changed since it was read.
        BadInputError: the name of an object cannot be represented.
        UsageError: the address, or an environment variable, cannot be used.
        ServerUnavailableError: the server did not answer in time, or failed.
    """
    if isinstance(error, OSError) and error.errno:
        return from_os_error(error, what)
    text = str(error)
    status = int(found[1]) if (found := _STATUS.search(text)) else 0
    said = _ErrorFacts(
        type(error).__name__, text, status, found[1] if (found := _CODE.search(text)) else ""
    )
    for kind, signs, reason, hint in _refusals(scheme, operation):
        if said.has(*signs) if isinstance(signs, tuple) else signs.search(text):
            return kind(reason, what=what, hint=hint)
    return ServerUnavailableError(_failure(said), what=what, hint=TRY_LATER)


_Signs = tuple[str | int, ...] | re.Pattern[str]
_Refusal = tuple[Callable[..., TaskembedError], _Signs, str, str | None]


def _refusals(scheme: str, operation: Operation) -> list[_Refusal]:
    """Return the rules for recognising errors; the first rule that matches applies."""
    credentials = CREDENTIALS.get(scheme, _SIGNED)
    granted = PERMISSIONS.get(scheme, {}).get(operation)
    permission = f"grant it {granted}; or {credentials}" if granted else credentials
    prefix = _PREFIXES.get(scheme, "AWS")
    no_tls = f"for a server without TLS, set {prefix}_ALLOW_HTTP=true"
    parts = "a plain server over HTTP cannot list, write, or send parts: name a single object"
    check, copied = "check the address", "copy it to this machine"
    bucket = f"{check}; taskembed creates no buckets"
    renamed = "name the other folders, or rename the object"
    absent = ("FileNotFoundError", "NotFoundError", Status.NOT_FOUND)
    changed = (
        *("AlreadyExistsError", "PreconditionError", Status.CONFLICT),
        *(Status.PRECONDITION_FAILED, Status.REQUESTED_RANGE_NOT_SATISFIABLE),
    )
    denied = ("PermissionDeniedError", Status.FORBIDDEN)
    unknown = ("UnauthenticatedError", Status.UNAUTHORIZED)
    elsewhere = (Status.MOVED_PERMANENTLY, Status.TEMPORARY_REDIRECT, "PermanentRedirect")
    unable = (
        *("NotSupportedError", "NotImplementedError"),
        *(Status.METHOD_NOT_ALLOWED, Status.NOT_IMPLEMENTED),
    )
    return [
        (AccessDeniedError, _NOBODY, "there are no credentials for it", credentials),
        (ChangedError, changed, "another process has changed it", None),
        (NoBucketError, ("NoSuchBucket", "ContainerNotFound"), "there is no such bucket", bucket),
        (NotFoundError, absent, "there is no such object", check),
        (AccessDeniedError, denied, "the server does not permit it", permission),
        (AccessDeniedError, unknown, "the server does not permit it", credentials),
        (UsageError, _NO_TLS, "the address of the server is not https", no_tls),
        (UsageError, elsewhere, "the bucket is in another region", "set AWS_REGION"),
        (UsageError, unable, "the server cannot do this", parts),
        (UsageError, _NO_LENGTH, "the server does not say how long it is", copied),
        (BadInputError, ("InvalidPathError",), "a key has an empty part, or . or ..", renamed),
        (UsageError, ("ValueError",), "it is not an address", check),
        (ServerUnavailableError, _TIMEOUT, "the server did not answer in time", TRY_LATER),
        (ServerUnavailableError, _UNREACHED, "the server cannot be reached", TRY_LATER),
    ]


def _failure(said: _ErrorFacts) -> str:
    if not said.status:
        return "the transfer failed"
    return f"the server answered with status {said.status}{f' ({said.code})' if said.code else ''}"
