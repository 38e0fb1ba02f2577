"""Texts without the secrets that URLs in them may carry, for logs and answers."""

from __future__ import annotations

import re

# An address up to a space or a quote. Of a password that is not escaped, no character is certain.
_URL = re.compile(r"(\w[\w+.-]*://)([^\s'\"<>]+)")
_PLAIN_AUTHORITY = re.compile(r"[^/?#@]*@[^/?#@]*")
# Where a text may be cut in the middle of an address.
_ODD = re.compile(r"[\s'\"<>]")
_AUTHORITY_ENDS = re.compile(r"[/?#]")
HIDDEN = "(hidden)"
# Characters of a server's sentence that are shown.
_LONGEST = 400


def redacted(text: str) -> str:
    """`text` without the credentials and the queries of the URLs in it.

    Where a URL may hold credentials that are not escaped, such as a password with a slash, all of it up to
    the last @ and the host behind that is hidden.
    """
    return _URL.sub(lambda match: match[1] + _without_secrets(match[1], match[2]), text)


def shown(uri: str) -> str:
    """An address as a message may show it."""
    return f"{uri.partition('://')[0]}://{HIDDEN}" if _ODD.search(uri) else redacted(uri).rstrip("/")


def is_clear(uri: str) -> bool:
    """Whether `redacted` surely finds what is secret of this address in a text: its password is escaped."""
    return not _ODD.search(uri) and HIDDEN not in redacted(uri)


def holds_credentials(uri: str) -> bool:
    """Whether a URI may have user or password in front of its host."""
    return redacted(uri).partition("?")[0] != uri.partition("?")[0]


def shortened(text: str) -> str:
    """A server's sentence in one line, without secrets; of a long one the beginning and the end."""
    line = " ".join(redacted(text).split())
    if len(line) <= _LONGEST:
        return line
    half = _LONGEST // 2
    return f"{line[:half]} ... {line[-half:]}"


def _without_secrets(scheme: str, rest: str) -> str:
    authority = _AUTHORITY_ENDS.split(rest, maxsplit=1)[0]
    if _PLAIN_AUTHORITY.fullmatch(authority) and "@" not in rest[len(authority) :]:
        rest = rest.partition("@")[2]
    elif "@" in authority or ("@" in rest and scheme in ("http://", "https://")):
        # A key of S3 may have an @; in front of a web server's path it more likely ends a password.
        behind = rest.rpartition("@")[2]
        host = _AUTHORITY_ENDS.split(behind, maxsplit=1)[0]
        rest = HIDDEN + behind[len(host) :]
    # A signed URL's query is a key to the object.
    address, mark, query = rest.partition("?")
    return address + _after(query) if mark else address


def _after(query: str) -> str:
    """The punctuation behind a query that is left out."""
    match = re.search(r"\).*", query)
    return match[0] if match else ""
