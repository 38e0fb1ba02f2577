"""The passport's data: plain values, written by `skdeploy.save`, read at start-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from skdeploy.drift import Sketch
from skdeploy.errors import UnreadableModel
from skdeploy.schema import Schema

ATTRIBUTE = "passport_"
FORMAT = 1


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a prediction is.

    kind      "regression", "classification" or "other" (clusters, outliers)
    names     the outputs' names if there are several, else None
    classes   the labels, in the order of `predict_proba`; a list per output if there are several
    probabilities   whether the pipeline has `predict_proba`
    title, unit     what is predicted, and its unit, as `save` was told: "air time", "minutes"
    """

    kind: Literal["regression", "classification", "other"]
    names: list[str] | None = None
    classes: list[Any] | None = None
    probabilities: bool = False
    title: str | None = None
    unit: str | None = None

    @property
    def words(self) -> str:
        """It in a few words: "air time in minutes (regression)"."""
        unit = f" in {self.unit}" if self.unit else ""
        kind = f"{self.kind} of {', '.join(self.names)}" if self.names else self.kind
        return f"{self.title}{unit} ({kind})" if self.title else f"{kind}{unit}"


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """Records with the pipeline's own predictions, for the proof at start-up.

    cells           by column, in the schema's order; None is null, date-times are text
    predictions     one per record
    probabilities   the rows of `predict_proba` where there is a single output, else None
    synthetic       made up from the schema instead of taken from the training data
    """

    cells: list[list[Any]]
    predictions: list[Any]
    probabilities: list[list[float]] | None = None
    synthetic: bool = False

    def __repr__(self) -> str:
        return f"Golden({len(self.predictions)} records)"

    def rows(self, indices: Sequence[int]) -> Golden:
        """Some of the records."""
        return Golden(
            cells=[[cells[index] for index in indices] for cells in self.cells],
            predictions=[self.predictions[index] for index in indices],
            probabilities=self.probabilities and [self.probabilities[index] for index in indices],
            synthetic=self.synthetic,
        )


class Passport(msgspec.Struct, frozen=True, kw_only=True):
    """What a model says of itself. `golden` never leaves by any door: it may be real rows.

    sketch   what training data were like; None if the model was saved before there were sketches. It
             leaves by no door either
    """

    name: str
    version: str
    created: str | None
    schema: Schema
    output: Output
    golden: Golden
    libraries: dict[str, str] = {}
    metrics: dict[str, float] = {}
    data: str | None = None
    sketch: Sketch | None = None
    format: int = FORMAT

    def __repr__(self) -> str:
        columns = len(self.schema.columns)
        return f"Passport({self.name} {self.version}, {columns} columns, {self.golden!r})"

    def is_same(self, other: Passport) -> bool:
        """Whether both say the same. A metric that is NaN equals nothing, and is the same all the same."""
        return msgspec.msgpack.encode(self.to_plain()) == msgspec.msgpack.encode(other.to_plain())

    def to_plain(self) -> dict[str, Any]:
        """The passport as nested dicts and lists of plain values."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def from_plain(cls, plain: Any, *, golden: bool = True) -> Passport:
        """The reverse of `to_plain`; raises UnreadableModel saying what does not fit.

        golden   False accepts a passport without golden records
        """
        written = plain.get("format") if isinstance(plain, dict) else None
        if written != FORMAT:
            raise UnreadableModel(
                f"The passport has the format {written!r}, this skdeploy reads {FORMAT}: "
                "use the skdeploy that saved the model, or save it again."
            )
        try:
            passport = msgspec.convert(plain, cls)
        except msgspec.ValidationError as error:
            raise UnreadableModel(f"The passport is damaged: {error}. Save the model again.") from None
        lengths = {len(column) for column in passport.golden.cells} | {len(passport.golden.predictions)}
        missing = golden and 0 in lengths
        if len(lengths) != 1 or missing or len(passport.golden.cells) != len(passport.schema.columns):
            raise UnreadableModel(
                "The passport is damaged: its golden records are missing or incomplete. Save the model again."
            )
        return passport
