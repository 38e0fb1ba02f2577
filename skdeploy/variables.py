"""Variables of the environment: what one is, how it is read, and what its error says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skdeploy.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: its name, its default as it would be written, how it is read, what it means.

    parse    raises ValueError saying what the value should be
    secret   its value is in no message
    """

    name: str
    default: str
    parse: Callable[[str], Any]
    meaning: str
    secret: bool = False


def read_all(settings: Iterable[Setting], environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings' values by their names in lower case; an empty value is the default.

    Raises SettingsError naming the variable, its value and what it should be.
    """
    return {setting.name.removeprefix("SKDEPLOY_").lower(): _read(setting, environ) for setting in settings}


def _read(setting: Setting, environ: Mapping[str, str]) -> Any:
    value = environ.get(setting.name) or setting.default
    try:
        return setting.parse(value)
    except ValueError as error:
        shown = setting.name if setting.secret else f"{setting.name}={value!r}"
        remedy = f"unset it for the default ({setting.default!r})" if setting.default else "unset it"
        raise SettingsError(f"{shown} is not {error}. Correct it, or {remedy}.") from None


def text(value: str) -> str:
    """Any text."""
    return value


def flag(value: str) -> bool:
    """0 or 1."""
    if value not in ("0", "1"):
        raise ValueError("0 or 1")
    return value == "1"


def whole(low: int, high: int = 10**9) -> Callable[[str], int]:
    """A whole number from `low` to `high`."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"\d{1,10}", value, re.ASCII) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def share(value: str) -> float:
    """A number from 0 to 1."""
    if not re.fullmatch(r"\d(\.\d+)?", value, re.ASCII) or not float(value) <= 1:
        raise ValueError("a share from 0 to 1, such as 0.05")
    return float(value)


def seconds(value: str) -> float:
    """Seconds, 0 included."""
    if not re.fullmatch(r"\d{1,10}(\.\d+)?", value, re.ASCII):
        raise ValueError("seconds, such as 10 or 0.5")
    return float(value)


def patience(value: str) -> float:
    """Seconds above 0."""
    number = seconds(value)
    if not number:
        raise ValueError("seconds above 0")
    return number


def size(value: str) -> int:
    """Bytes, with K, M or G."""
    match = re.fullmatch(r"(\d+)([KMG]?)", value, re.ASCII)
    if match is None or not int(match[1]):
        raise ValueError("a size in bytes above 0, such as 10485760 or 10M")
    factors = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
    return int(match[1]) * factors[match[2]]


def sha256(value: str) -> str | None:
    """A SHA-256 in hexadecimal digits; None if empty."""
    if value and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("64 hexadecimal digits, as `sha256sum model.bin` prints them")
    return value.lower() or None


def names(value: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in value.split(",") if name.strip())


def origins(value: str) -> tuple[str, ...]:
    """Origins of web pages with commas between them, or `*` alone."""
    found = names(value)
    if found == ("*",):
        return found
    for origin in found:
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?", origin):
            raise ValueError(
                "origins as browsers send them, such as https://app.example.com, commas between, or * alone"
            )
    return found


def identifier(shortest: int, longest: int) -> Callable[[str], str]:
    """A name as brokers take it, of so many characters; or nothing."""

    def parse(value: str) -> str:
        if value and not re.fullmatch(rf"[A-Za-z0-9._-]{{{shortest},{longest}}}", value, re.ASCII):
            raise ValueError(
                f"a name of {shortest} to {longest} characters: letters, digits, '.', '_' and '-'"
            )
        return value

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """One of `choices`."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(" or ".join(choices))
        return value

    return parse
