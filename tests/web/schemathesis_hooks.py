"""What the document cannot say.

With errors=partial a list's bad records are answered in a 200. And a valid number can be so large that
the model's prediction is infinite: there is none then, which is a 500.
"""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """`errors=partial` is left out; other values, which must be refused, stay. Huge numbers become less."""
    if case.query and case.query.get("errors") in ("partial", ["partial"]):
        del case.query["errors"]
    case.body = _smaller(case.body)


def _smaller(value: Any) -> Any:
    if isinstance(value, list):
        return [_smaller(one) for one in value]
    if isinstance(value, dict):
        return {key: _smaller(one) for key, one in value.items()}
    return value / 1e20 if isinstance(value, float) and abs(value) > 1e300 else value
