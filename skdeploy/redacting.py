"""Texts without the secrets that URLs in them may carry, for logs and answers."""

from __future__ import annotations

import re

CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
# A signed URL's query is a key to the object.
_QUERY = re.compile(r"(\w+://[^\s?]+)\?[^\s'\">)]*")


def redacted(text: str) -> str:
    """`text` without the credentials and the queries of the URLs in it."""
    return _QUERY.sub(r"\1", CREDENTIALS.sub("", text))
