"""Keys and passwords, kept out of everything that is printed.

    redacted("no such key: sk-1", ["sk-1"])    # "no such key: ***"

A server may repeat what it was sent, and a library may put an address into its errors: whatever is
said of either goes through here.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote, quote_plus, unquote

KEY_OF_OWN = "TASKEMBED_API_KEY"  # the variable with the key of a server that has no name here
API_BASE = "TASKEMBED_API_BASE"
KEYS = (  # the variables with keys
    KEY_OF_OWN,
    "OPENAI_API_KEY",
    "OPENAI_ADMIN_KEY",
    "CO_API_KEY",
    "VOYAGE_API_KEY",
    "GEMINI_API_KEY",
    "JINA_API_KEY",
    "ZEROENTROPY_API_KEY",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
)
HIDDEN = "***"
WITHIN_WORDS = 6  # characters of a secret that is looked for inside of words too
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")  # greedy: a password may have an @


def without_userinfo(text: str) -> str:
    """Return text whose addresses have no user and no password any more."""
    return _USERINFO.sub("", text)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return text in which no secret is left, nor the user and password of an address."""
    for secret in sorted({form for one in secrets for form in _forms(one)}, key=len, reverse=True):
        found = re.escape(secret)
        # a short one is the "x" or "none" of a server that wants no key, more often than not
        text = re.sub(
            found if len(secret) >= WITHIN_WORDS else rf"(?<!\w){found}(?!\w)", HIDDEN, text
        )
    return _USERINFO.sub(f"{HIDDEN}@", text)


def userinfo_of(address: str) -> str:
    """Return the "user:password" of an address as it is written there, "" for none."""
    found = _USERINFO.search(address)
    return found[0][:-1] if found else ""


def shown_address(address: str) -> str:
    """Return what an address is called in an error: without all that may be a password of it.

    It may be no address at all, so that is all before the last @.
    """
    scheme, middle, rest = address.rpartition("://")
    _, at, after = rest.rpartition("@")
    return f"{scheme}{middle}{HIDDEN}@{after}" if at else address


def secrets_of(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return what must not be printed of a command line and its environment."""
    found = [environment.get(name, "").strip() for name in KEYS]
    for address in (*_addresses(arguments), environment.get(API_BASE, "")):
        before_at = address.rpartition("@")[0]
        found += secrets_of_userinfo(before_at.rpartition("://")[2])
    return [secret for secret in found if secret]


def secrets_of_userinfo(userinfo: str) -> list[str]:
    """Return what must not be printed of a "user:password": the two together, and the latter."""
    _, _, password = userinfo.partition(":")
    return [one for one in (userinfo, password) if one]


def _addresses(arguments: Sequence[str]) -> Iterator[str]:
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--api-base":
            yield value if equals else (arguments[number + 1 : number + 2] or [""])[0]
        elif "://" in argument:
            yield argument


def _forms(secret: str) -> set[str]:
    """Return the ways in which a secret may be spelled."""
    if not secret:
        return set()
    plain = {secret, unquote(secret)}
    forms = set(plain)
    for one in plain:
        forms |= {quote(one, safe=""), quote_plus(one), json.dumps(one)[1:-1], repr(one)[1:-1]}
        forms.add(base64.b64encode(one.encode(errors="replace")).decode())
    return forms
