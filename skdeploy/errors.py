"""What can go wrong, in one tree. Plain Python exceptions; the doors translate them.

    SkdeployError
    ├── CallerError               what was sent cannot be used: the sender must change it
    │   ├── MalformedBody         not JSON, not UTF-8, a key twice, not a record at all
    │   ├── TooManyRecords        a longer list than one call may bring
    │   └── InvalidRecord         cells that do not fit the model's schema, all of them listed
    ├── SettingsError             a variable, its value, and what it should be
    ├── SaveError                 a pipeline cannot be saved as a model, and why
    ├── NoJsonValue               a pipeline predicts what JSON does not have
    ├── ExportError               a model cannot do without scikit-learn, and why
    ├── ModelUnavailable          there is no model to predict with
    │   ├── SourceError           the place that it comes from does not give it; which part is wrong
    │   │   ├── SourceUnreachable it cannot be reached, lets nobody in, or broke off
    │   │   └── UnverifiedModel   nobody says which digest a file from the network should have
    │   ├── DigestMismatch        the file is not the one that was meant
    │   ├── UnreadableModel       the file cannot be unpickled, or is no pipeline
    │   └── ProofFailed           it does not predict what its passport says
    ├── ExplainingFailed          what is wrong with a body could not be found out
    ├── PredictionFailed          the engine failed although the records are valid
    ├── BatchError                a job cannot go on
    │   ├── InputError            records cannot be read: unreachable, a column is missing, a key is none
    │   ├── OutputError           predictions cannot be written: unreachable, another table than meant
    │   ├── IntervalHeld          another run is scoring the interval
    │   ├── IntervalCompleted     another run has scored the interval meanwhile
    │   └── Interrupted           the job was told to stop
    └── StreamError               events cannot be read, or predictions sent: waiting will not help

A record that is valid and still cannot be scored is no exception but a result
(`skdeploy.model.Predictions.unscorable`): its neighbours have their answers.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

# What a command's exit code means, for all commands. An error says which is its own (`exit_code`).
EXIT_CODES = {
    0: "done; a service: stopped as it was told to",
    1: "it failed; the message says how",
    2: "the command line or a setting is wrong; the message says which",
    3: "there is no model",
    4: "the input or the output cannot be used",
    5: "another run is doing the same",
    6: "more records were rejected than is allowed",
    143: "a run was told to stop",
}


class SkdeployError(Exception):
    """Base of everything that skdeploy raises on purpose.

    exit_code   a command that ends because of it ends with this
    """

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle of Exception's own would give `args` to constructors that have other parameters.
        return _unpickled, (type(self), self.args, vars(self))


def _unpickled(kind: type[SkdeployError], args: tuple[Any, ...], attributes: dict[str, Any]) -> SkdeployError:
    error = kind.__new__(kind, *args)
    vars(error).update(attributes)
    return error


class CallerError(SkdeployError):
    """What was sent cannot be used; sending it again unchanged will fail again."""


class MalformedBody(CallerError):
    """The bytes are no JSON record or list of records. `str(error)` says what and where."""


class TooManyRecords(CallerError):
    """The list is longer than one call may bring; `str(error)` names the limit."""


# Code of a rejection -> how an answer comments on the value that came; None where the value says enough.
CODES: dict[str, str | None] = {
    "missing": None,
    "null": None,
    "unknown_column": None,
    "category": "not seen in training",
    "range": "out of range",
    "precision": "more digits than the column holds",
    "type": None,
    "duplicate_key": None,
    "unscorable": None,
}
# The codes of what a caller sent; the others are a batch's alone.
CELL_CODES = tuple(code for code in CODES if code not in ("duplicate_key", "unscorable"))


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record is rejected: usually a cell that does not fit its column.

    record     the record's index
    column     None where it is the record as a whole
    code       one of CODES: the label in metrics, and the reason in dead letters and tables of rejects
    expected   what the column takes, in words; empty for an unknown column
    got        the type and the value that came, shortened; empty for a missing column
    """

    record: int
    column: str | None
    code: str
    expected: str
    got: str

    @property
    def words(self) -> tuple[str, str]:
        """`expected` and `got` as an answer writes them."""
        if self.code == "missing":
            return self.expected, "nothing: the column is missing"
        if self.code == "unknown_column":
            return "no such column in this model", self.got
        comment = CODES[self.code]
        return self.expected, f"{self.got} ({comment})" if comment else self.got


class InvalidRecord(CallerError):
    """Records whose cells do not fit the schema; `cells` lists them, as far as one call lists them.

    more_cells     how many more bad cells the records of the listed ones have
    more_records   how many more records are bad, of which no cell is listed
    """

    def __init__(
        self,
        cells: Sequence[Rejection],
        detail: str | None = None,
        *,
        more_cells: int = 0,
        more_records: int = 0,
    ) -> None:
        self.cells = tuple(cells)
        self.more_cells = more_cells
        self.more_records = more_records
        super().__init__(detail or count_cells(self.cells, more_cells, more_records))


def count_cells(cells: Sequence[Rejection], more_cells: int = 0, more_records: int = 0) -> str:
    """How many bad cells and records there are, and how many of them are listed, in words.

    "104 bad cells in 8 records; only the first 100 cells are listed; 5,292 more bad records are not listed"
    """
    records = len({cell.record for cell in cells})
    parts = [f"{_counted(len(cells) + more_cells, 'bad cell')} in {_counted(records, 'record')}"]
    if more_cells:
        first = "cell is" if len(cells) == 1 else f"{len(cells):,} cells are"
        parts.append(f"only the first {first} listed")
    if more_records:
        are = "is" if more_records == 1 else "are"
        parts.append(f"{_counted(more_records, 'more bad record')} {are} not listed")
    return "; ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def described(error: Exception) -> str:
    """What a pipeline raised on training data, for a message that must not hold any of these data.

    Errors on names and modules tell of code alone. Of others, what they say may be a value of a record: the
    line that raised stands for it.
    """
    kind = type(error).__name__
    if isinstance(error, (AttributeError, ImportError, NameError, SkdeployError)):
        return f"{kind}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{kind} in {frames[-1].filename}, line {frames[-1].lineno}" if frames else kind


def listed(names: Sequence[str], most: int = 20) -> str:
    """The first names, for a message: "a, b, c and 1,480 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class SettingsError(SkdeployError):
    """A setting has a value that it cannot have; the message names variable, value and remedy."""

    exit_code = 2


class SaveError(SkdeployError):
    """The pipeline cannot be saved as a model; the message says what to change."""


class NoJsonValue(SkdeployError):
    """The pipeline predicts values that JSON does not have."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"its predictions are of the type {kind}, which JSON does not have")


class ExportError(SkdeployError):
    """The model cannot be exported; the message says why, and what to do instead."""


class ModelUnavailable(SkdeployError):
    """There is no model to predict with. A service must not start."""

    exit_code = 3


class SourceError(ModelUnavailable):
    """The place that a model comes from does not give it.

    part     what is missing or wrong: "credentials", "endpoint", "bucket", "alias" and so on
    what     a sentence that says so
    remedy   a sentence that says what to do
    """

    def __init__(self, part: str, what: str, remedy: str) -> None:
        self.part = part
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what} {remedy}")


class SourceUnreachable(SourceError):
    """It cannot be reached, lets nobody in, or broke off: the last good model may stand in."""


class UnverifiedModel(SourceError):
    """Nobody says which digest a file from the network should have; it was not loaded."""


class DigestMismatch(ModelUnavailable):
    """The file's SHA-256 is not the one that `authority` says; nothing of it was unpickled."""

    def __init__(self, what: str, expected: str, got: str, authority: str = "SKDEPLOY_MODEL_SHA256") -> None:
        super().__init__(
            f"{what} has the SHA-256 {got}, but {authority} says {expected}. It was not loaded: "
            "give the file that was meant, or the digest of this one."
        )


class UnreadableModel(ModelUnavailable):
    """The file is no pickled pipeline, or needs what is not installed here."""


class ProofFailed(ModelUnavailable):
    """A golden record's prediction differs from the passport's, or its schema refuses it.

    what   a sentence that says which
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what
        super().__init__(f"{what} {remedy}".rstrip())


class ExplainingFailed(SkdeployError):
    """A body took the process that explains long ones too long or too much memory, or ended it.

    size     of the body, bytes
    reason   what became of the process
    """

    def __init__(self, size: int, reason: str) -> None:
        super().__init__(f"A body of {size:,} bytes could not be explained: the process for it {reason}.")


class PredictionFailed(SkdeployError):
    """The engine raised although the records are valid, and golden records fail as well."""


class BatchError(SkdeployError):
    """A job cannot go on; what is committed stays as it is."""


class InputError(BatchError):
    """Records cannot be read; the message says what is missing or wrong, and what to do."""

    exit_code = 4


class OutputError(BatchError):
    """Predictions cannot be written; the message says why, and what to do."""

    exit_code = 4


class IntervalHeld(BatchError):
    """Another run is scoring this interval; only one may write it."""

    exit_code = 5


class IntervalCompleted(BatchError):
    """Another run has completed this interval since it was looked at."""


class Interrupted(BatchError):
    """The job was told to stop, and undid the interval that it was at."""


class StreamError(SkdeployError):
    """Events cannot be read, or predictions sent; what to do. What is not committed comes again."""
