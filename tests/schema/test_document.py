from __future__ import annotations

import re

from skdeploy.schema import Column, Schema, json_schema

SCHEMA = Schema(
    container="frame",
    columns=[
        Column(name="n", type="int", dtype="uint8", minimum=3, maximum=9, example=4, description="a count"),
        Column(name="k", type="str", dtype="str", categories=["a"], nullable=True, example="a"),
        Column(name="r", type="str", dtype="str", categories=["x"], unknown="refuse"),
    ],
)


def test_the_schema_says_types_ranges_and_nulls() -> None:
    """Types, bounds, nullability, descriptions and examples stand in the JSON Schema."""
    document = json_schema(SCHEMA)
    assert document["required"] == ["n", "k", "r"]
    assert document["properties"]["n"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 255,
        "description": "a count",
        "examples": [4],
        "x-range-seen": [3, 9],
    }
    assert document["properties"]["k"]["type"] == ["string", "null"]


def test_an_enum_stands_only_where_others_are_refused() -> None:
    """Known categories are an enum if the model refuses others, else a hint."""
    properties = json_schema(SCHEMA)["properties"]
    assert "enum" not in properties["k"]
    assert properties["r"]["enum"] == ["x"]
    assert json_schema(SCHEMA, strict=True)["properties"]["k"]["enum"] == ["a", None]


def test_minimal_hides_what_training_data_showed() -> None:
    """Without `reveal` there are no categories, ranges and examples."""
    assert "seen" not in str(json_schema(SCHEMA, reveal=False))
    assert json_schema(SCHEMA, reveal=False)["properties"]["r"] == {"type": "string"}


def test_bounds_of_single_precision_and_date_times_without_a_zone() -> None:
    """float32 has its largest number; the format date-time demands a zone, and stands only where one is."""
    columns = [
        Column(name="f", type="float", dtype="float32"),
        Column(name="local", type="datetime", dtype="datetime64[us]"),
        Column(name="zoned", type="datetime", dtype="datetime64[us, UTC]"),
    ]
    properties = json_schema(Schema(container="frame", columns=columns))["properties"]
    assert properties["f"]["maximum"] == 3.4028234663852886e38
    assert properties["local"]["format"] == "date-time-local"
    assert re.search(properties["local"]["pattern"], "2013-11-05T08:00:00.5")
    assert not re.search(properties["local"]["pattern"], "2013-11-05T08:00:00Z")
    assert properties["zoned"] == {"type": "string", "format": "date-time"}
