"""Texts without secrets."""

from __future__ import annotations

from skdeploy.redacting import redacted


def test_credentials_are_taken_out_of_every_address() -> None:
    """User and password go, the rest stays."""
    text = "http://me:pw@host:5000/x failed, as did https://token@other/y; a@b stays"
    assert redacted(text) == "http://host:5000/x failed, as did https://other/y; a@b stays"


def test_urls_lose_their_credentials() -> None:
    """User, password and a signed query go; the address stays."""
    text = "GET http://anna:geheim@host:5000/a?X-Amz-Signature=4711&b=c failed (https://host/b)."
    assert redacted(text) == "GET http://host:5000/a failed (https://host/b)."
