"""Removes keys and passwords from everything that is printed.

    redacted("no such key: sk-1", ["sk-1"])    # "no such key: ***"

A server may repeat a key in its answer, and a library may quote an address in its error, so both
go through this module before they are printed.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote, quote_plus, unquote

KEY_OF_OWN = "TASKEMBED_API_KEY"  # the variable with the key for the server at --api-base
API_BASE = "TASKEMBED_API_BASE"
KEYS = (  # environment variables with keys
    KEY_OF_OWN,
    "OPENAI_API_KEY",
    "OPENAI_ADMIN_KEY",
    "CO_API_KEY",
    "VOYAGE_API_KEY",
    "GEMINI_API_KEY",
    "JINA_API_KEY",
    "ZEROENTROPY_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "MILVUS_TOKEN",
)
HIDDEN = "***"
WITHIN_WORDS = 6  # characters; a secret of this length is also replaced inside words
WITHIN_QUERIES = 16  # characters; signatures are longer
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")  # greedy: a password may have an @


def without_userinfo(text: str) -> str:
    """Return text without the user and password of its addresses."""
    return _USERINFO.sub("", text)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return text with *** for every secret and for the user and password of every address."""
    for secret in sorted({form for one in secrets for form in _forms(one)}, key=len, reverse=True):
        found = re.escape(secret)
        # a short secret is often "x" or "none", for a server that needs no key
        text = re.sub(
            found if len(secret) >= WITHIN_WORDS else rf"(?<!\w){found}(?!\w)", HIDDEN, text
        )
    return _USERINFO.sub(f"{HIDDEN}@", text)


def userinfo_of(address: str) -> str:
    """Return the "user:password" of an address as written, "" if it has none."""
    found = _USERINFO.search(address)
    return found[0][:-1] if found else ""


def shown_address(address: str) -> str:
    """Return an address for an error message, without anything that may be its password.

    The text may not be a valid address, so everything before the last @ is replaced.
    """
    scheme, middle, rest = address.rpartition("://")
    _, at, after = rest.rpartition("@")
    return f"{scheme}{middle}{HIDDEN}@{after}" if at else address


def secrets_of(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the secrets in a command line and its environment."""
    found = [environment.get(name, "").strip() for name in KEYS]
    for address in (*_addresses(arguments), environment.get(API_BASE, "")):
        found += secrets_of_query(address)
        before_at = address.rpartition("@")[0]
        found += secrets_of_userinfo(before_at.rpartition("://")[2])
    return [secret for secret in found if secret]


def secrets_of_userinfo(userinfo: str) -> list[str]:
    """Return the secrets in "user:password": the two together, and the password."""
    _, _, password = userinfo.partition(":")
    return [one for one in (userinfo, password) if one]


def secrets_of_query(address: str) -> list[str]:
    """Return the values in the query of an address that are as long as a signature or a key."""
    query = address.partition("://")[2].partition("?")[2]
    values = (part.partition("=")[2] for part in query.split("&"))
    return [value for value in values if len(value) >= WITHIN_QUERIES]


def _addresses(arguments: Sequence[str]) -> Iterator[str]:
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--api-base":
            yield value if equals else (arguments[number + 1 : number + 2] or [""])[0]
        elif "://" in argument:
            yield argument


def _forms(secret: str) -> set[str]:
    """Return the spellings of a secret: plain, quoted for addresses, JSON or Python, and base64."""
    if not secret:
        return set()
    plain = {secret, unquote(secret)}
    forms = set(plain)
    for one in plain:
        forms |= {quote(one, safe=""), quote_plus(one), json.dumps(one)[1:-1], repr(one)[1:-1]}
        forms.add(base64.b64encode(one.encode(errors="replace")).decode())
    return forms
