"""Steps that take a whole frame, fill in or encode some of its columns, and pass on the others.

Such a step is followed if each of its outputs depends on one column alone: as a table of the cells that
it has learned, and for any other cell always the same, or that cell itself. All of it is found out by
calling the step, so that no option of an imputer or encoder need be known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.impute import SimpleImputer

from skdeploy.engines.compiling.cells import Answers, Cells, Probe, Source, unseen, valid
from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.compiling.tables import Calls, lookup, told_apart
from skdeploy.engines.graph import Feature, Number
from skdeploy.learned import learned_values, passes_columns_on
from skdeploy.schema import Column

# Outputs of one call that are held at once.
_MOST_MADE = 2**24
# A step that looks at other records than the one that it encodes shows it among so many.
_FEWEST_TOGETHER = 16

Ask = Callable[[list[list[Any]]], Any]


def is_followed(step: Any) -> bool:
    """Whether the step is an imputer, or an encoder that passes columns on."""
    return type(step) is SimpleImputer or passes_columns_on(step)


def follow(step: Any, given: list[Cells], probe: Probe) -> list[Cells]:
    """The columns that the step makes. Raises NotCompilable where they do not depend on one column each."""
    name = type(step).__name__
    columns = list(dict.fromkeys(one.column for one in given))
    places = [columns.index(one.column) for one in given]
    names: list[str] = []

    def ask(rows: list[list[Any]]) -> Any:
        made = probe.transform(step, given, [[row[place] for place in places] for row in rows])
        if made.shape[0] != len(rows):
            raise NotCompilable(f"{name} drops records")
        if made.shape[1] * len(rows) > _MOST_MADE:
            raise NotCompilable(f"{name} with {made.shape[1]:,} outputs")
        names[:] = map(str, made.columns) if isinstance(made, pd.DataFrame) else []
        return _plain(made)

    schema = [probe.column(Cells(column)) for column in columns]
    answers = _ask_alone(name, ask, _domains(step, given, columns, probe), schema)
    owners = _owners(name, ask, answers)
    _require_alike(name, ask, answers, owners)
    source = Source(step, given, dict(zip(columns, answers, strict=True)), names or None)
    return [Cells(columns[owner], source, place) for place, owner in enumerate(owners)]


def _domains(step: Any, given: list[Cells], columns: list[int], probe: Probe) -> list[list[Any]]:
    """Per column of the schema the cells that the step, or one before it, tells apart, the null aside."""
    learned = learned_values(step)
    if type(step) is SimpleImputer:
        learned = [[step.missing_values]] * len(given)
    elif learned is None and hasattr(step, "cols"):  # it encodes some, as category_encoders names them
        raise NotCompilable(f"{type(step).__name__} does not show which categories it has learned")
    found: dict[int, list[Any]] = {column: [] for column in columns}
    for one, values in zip(given, learned or [None] * len(given), strict=True):
        column = probe.column(one)
        booleans = [False, True] if column.type == "bool" else []
        found[one.column] += [*told_apart(column, values or []), *probe.told_apart(one), *booleans]
    return [list(dict.fromkeys(cells)) for cells in found.values()]


def _ask_alone(name: str, ask: Ask, domains: list[list[Any]], schema: list[Column]) -> list[Answers]:
    """What the step makes of each cell of a column; of a null and of cells that it has not learned, alone."""
    usual = [
        domain or (column.categories or [valid(column)])[:1]
        for domain, column in zip(domains, schema, strict=True)
    ]
    calls = Calls(ask, [cells[0] for cells in usual])
    refused: list[list[Any]] = [[] for _ in usual]
    try:
        known = np.concatenate([*calls.side_by_side(usual, 1)])
    except NotCompilable:
        raise
    except Exception:  # the step, or one before it, raises on a cell that another step knows
        refused = _refused(calls, usual)
        usual = [
            [cell for cell in cells if cell not in none] for cells, none in zip(usual, refused, strict=True)
        ]
        known = np.concatenate([*calls.side_by_side(usual, 1)])
    nulls = calls.one_by_one([[None] if column.nullable else [] for column in schema])
    strange = [_strange(column, cells) for column, cells in zip(schema, usual, strict=True)]
    turns = [
        calls.one_by_one([cells[turn : turn + 1] for cells in strange])
        for turn in range(max(map(len, strange)))
    ]
    answers = []
    for place, (domain, cells, null) in enumerate(zip(domains, usual, nulls, strict=True)):
        others = [turn[place] for turn in turns[: len(strange[place])]]
        raises = [other is None for other in others]
        if any(raises) and not all(raises):
            raise NotCompilable(f"{name} takes some values that it has not learned, and raises on others")
        others = [] if any(raises) else others
        rows = known[: len(cells)]
        kept = np.zeros(rows.shape[1], dtype=bool)
        if not any(raises):
            kept = _kept(strange[place], np.concatenate(others)) if others else _kept(cells, rows)
        answers.append(
            Answers(
                domain=[cell for cell in domain if cell not in refused[place]],
                refused=refused[place],
                cells=[*cells, *([] if null is None else [None]), *strange[place][: len(others)]],
                rows=np.concatenate([rows, *([] if null is None else [null]), *others]),
                null=null,
                others=others,
                kept=kept,
            )
        )
    return answers


def _refused(calls: Calls, usual: list[list[Any]]) -> list[list[Any]]:
    """Per column the cells among those told apart on which the step raises all the same."""
    refused: list[list[Any]] = [[] for _ in usual]
    for turn in range(max(map(len, usual))):
        made = calls.one_by_one([cells[turn : turn + 1] for cells in usual])
        for place, cells in enumerate(usual):
            if made[place] is None:
                refused[place] += cells[turn : turn + 1]
    return refused


def _strange(column: Column, known: list[Any]) -> list[Any]:
    """A few cells that are none of the known, as different from each other as the column allows."""
    found = unseen(column, known)
    if column.type == "str":
        found += ["", *(changed for text in known[:1] for changed in (text * 2, text.swapcase()))]
    elif column.type != "bool":
        low, high = column.minimum or 0, column.maximum or 0
        found += [*unseen(column, [*known, *found]), low, high, 2 * low - high - 9, 2 * high - low + 9]
        found = [cell for cell in found if column.bounds[0] <= cell <= column.bounds[1]]
        if (precision := _precision(column)) != "float64":
            found = [float(np.dtype(precision).type(cell)) for cell in found]
    return [cell for cell in dict.fromkeys(found) if cell not in known]


def _owners(name: str, ask: Ask, answers: list[Answers]) -> list[int]:
    """Per output the place of the column that it depends on; 0 where it is always the same.

    All columns with a bit in their place go through their cells together, then those without it: an output
    that changes both times depends on two columns.
    """
    longest = max(len(one.cells) for one in answers)
    owners = np.zeros(answers[0].rows.shape[1], dtype=int)
    for bit in range((len(answers) - 1).bit_length()):
        changed = []
        for side in (0, 1):
            moves = [int(place >> bit & 1 == side) for place in range(len(answers))]
            made = ask(
                [
                    [one.cells[row * move % len(one.cells)] for one, move in zip(answers, moves, strict=True)]
                    for row in range(longest)
                ]
            )
            changed.append(_differ(made, made[:1]).any(axis=0))
        if (changed[0] & changed[1]).any():
            raise NotCompilable(f"{name} makes one column of several")
        owners |= changed[1].astype(int) << bit
    found: list[int] = owners.tolist()
    return found


def _require_alike(name: str, ask: Ask, answers: list[Answers], owners: list[int]) -> None:
    """Raise NotCompilable if a cell gives anything else beside other cells or among other records.

    Or if cells that the step has not learned give different things.
    """
    count = max(_FEWEST_TOGETHER, *(2 * len(one.cells) for one in answers))
    turns = [[(row + place) % len(one.cells) for row in range(count)] for place, one in enumerate(answers)]
    cells = [[one.cells[turn] for turn in its] for one, its in zip(answers, turns, strict=True)]
    made = ask([list(row) for row in zip(*cells, strict=True)])
    alone = [answers[owner].rows[turns[owner], place] for place, owner in enumerate(owners)]
    if _differ(made, np.stack(alone, axis=1)).any():
        raise NotCompilable(f"{name} looks at other columns or records")
    for place, owner in enumerate(owners):
        one = answers[owner]
        if not one.kept[place] and any(_differ(other, one.others[0])[0, place] for other in one.others):
            raise NotCompilable(f"{name} makes more of a column than a table can hold")


def packed(items: Sequence[Cells | Feature], probe: Probe) -> list[Feature]:
    """Columns as the graph is given them. Raises NotCompilable for one that holds no numbers."""
    found: list[Feature] = []
    for _, run in groupby(items, key=_origin):
        for first in run:
            if not isinstance(first, Cells):
                found.append(first)
            elif first.source is None or first.is_kept:
                found.append(_number(first, probe))
            else:
                places = [first.place, *(one.place for one in run if isinstance(one, Cells))]
                found.append(_table(first, first.source, places, probe))
    return found


def _origin(item: Cells | Feature) -> Any:
    """Equal for neighbours that one table can hold."""
    return (item.column, item.source, item.is_kept) if isinstance(item, Cells) else None


def _number(cells: Cells, probe: Probe) -> Feature:
    column = probe.column(cells)
    _require_numbers(cells, probe)
    changed: dict[Any, float] = {}
    precision = _precision(column)
    if cells.source is not None:
        answers = cells.source.answers[cells.column]
        if answers.refused or (column.nullable and answers.null is None):
            raise NotCompilable(f"an imputer raises on a value of the column {column.name!r}")
        changed = {
            cell: made
            for cell, made in zip(answers.cells, answers.rows[:, cells.place], strict=True)
            if (made == made if cell is None else made != cell)
        }
        # Of an array, where other columns are doubles, what is filled in is not rounded.
        if any(made != float(np.dtype(precision).type(made)) for made in changed.values()):
            precision = "float64"
    return Number(cells.column, changed, precision=precision)


def _require_numbers(cells: Cells, probe: Probe) -> None:
    if not probe.holds_numbers(cells):
        name = probe.column(cells).name
        raise NotCompilable(f"the column {name!r} is passed on as it is, and holds no numbers")


def _table(first: Cells, source: Source, places: list[int], probe: Probe) -> Feature:
    for place in places:
        _require_numbers(Cells(first.column, source, place), probe)
    answers = source.answers[first.column]
    special = [
        None if row is None else sparse.csr_array(row[:, places].astype(float))
        for row in (answers.others[0] if answers.others else None, answers.null, None)
    ]
    rows = sparse.csr_array(answers.rows[: len(answers.domain), places].astype(float))
    table = lookup(first.column, answers.domain, special, rows, list(range(len(places))))
    table.codes.update(dict.fromkeys(answers.refused, len(special) - 1))
    return table


def _precision(column: Column) -> str:
    dtype = column.dtype.lower()
    return dtype if dtype in ("float32", "float16") else "float64"


def _plain(made: Any) -> Any:
    """Outputs as objects, (n, outputs): numbers as floats, every null as NaN."""
    if isinstance(made, np.ndarray) and made.dtype.kind in "biuf":
        return made.astype(float).astype(object)
    frame = pd.DataFrame(made)
    plain = np.empty(frame.shape, dtype=object)
    for place in range(frame.shape[1]):
        series = frame.iloc[:, place]
        if series.dtype.kind in "biuf":
            plain[:, place] = series.to_numpy(dtype=float, na_value=np.nan)
        else:
            plain[:, place] = [_cell(cell) for cell in series.astype(object)]
    return plain


def _cell(cell: Any) -> Any:
    if cell is None or cell is pd.NA:
        return np.nan
    return float(cell) if isinstance(cell, (bool, int, float, np.number, np.bool_)) else cell


def _kept(cells: list[Any], rows: Any) -> Any:
    return ~_differ(rows, _plain([[cell] for cell in cells])).any(axis=0)


def _differ(one: Any, other: Any) -> Any:
    return ((one != other) & ~((one != one) & (other != other))).astype(bool)
