"""The variables of Lambda functions; docs/lambda.md shows the table.

What prediction ids begin with and are made of, and `PROBA`, say the variables of
`skdeploy.stream.settings`; where the model comes from those of `skdeploy.settings`. Endpoint, region
and credentials are boto3's own affair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from skdeploy.errors import SettingsError
from skdeploy.variables import Setting, flag, read_all


def _stream(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", value, re.ASCII):
        raise ValueError("a name of letters, digits, '_', '.' and '-'")
    return value


KINESIS_SETTINGS: tuple[Setting, ...] = (
    Setting("OUTPUT_STREAM", "", _stream, "the Kinesis stream of predictions"),
    Setting("DEAD_LETTER_STREAM", "", _stream, "the Kinesis stream of dead letters"),
    Setting(
        "REPORT_FAILURES",
        "1",
        flag,
        "0: where events could not be done, the whole invocation fails; for a Lambda mapping without "
        "ReportBatchItemFailures, which would take them for done",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KinesisSettings:
    """The values of `KINESIS_SETTINGS`, typed; the names are the variables' in lower case."""

    output_stream: str
    dead_letter_stream: str
    report_failures: bool

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> KinesisSettings:
        """Read the settings from `environ`; an empty value is the default.

        Raises SettingsError naming the variable, and what it should be.
        """
        return cls(**read_all(KINESIS_SETTINGS, environ))

    def require(self, *names: str) -> None:
        """Raises SettingsError naming those of the variables that are not set."""
        missing = [name for name in names if not getattr(self, name.lower())]
        if missing:
            one = len(missing) == 1
            raise SettingsError(f"{' and '.join(missing)} {'is' if one else 'are'} not set, and must be.")
