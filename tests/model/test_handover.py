"""A model that one process proved, as another one serves it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import skdeploy
from skdeploy.config import WebSettings
from skdeploy.errors import DigestMismatch
from skdeploy.model import Model
from skdeploy.model.exporting import export
from skdeploy.model.handover import Facts, Handover
from skdeploy.web import create_app
from skdeploy.web.serving import ONLY
from tests import pipelines
from tests.live import ROOT
from tests.stores import sha256

# With the files that the serving process needs.
PIPELINES: list[tuple[Callable[[], pipelines.Fitted], str]] = [
    (pipelines.mixed_regression, "exported"),
    (pipelines.one_hot_refuses_with_string_labels, "exported"),
    (pipelines.ordinal_with_values_for_unknown_and_missing, "both"),
    (pipelines.target_encoder, "exported"),
    (pipelines.nullable_integers, "exported"),
    (pipelines.several_numbers, "exported"),
    (pipelines.booleans_with_boolean_labels, "exported"),
    (pipelines.bare_forest, "both"),
    (pipelines.several_labels_from_a_forest, "both"),
    (pipelines.tfidf_on_a_column, "fetched"),
    (pipelines.own_transformer_and_text_length, "fetched"),
]
ODD: list[Any] = [
    None,
    "unseen",
    "",
    0,
    -1,
    2.5,
    1e39,
    -1e300,
    2**53,
    2**53 + 1,
    True,
    [],
    "2026-11-30T12:00:00Z",
]


def handed_over(content: bytes, where: str = "m.bin", engine: str = "auto") -> tuple[Handover, Model]:
    """What the process that proves makes, once it has been written down and read again, and its model."""
    handover, model = Handover.of(
        content, digest=sha256(content), name="m", where=where, engine=engine, trusted=()
    )
    facts = msgspec.json.decode(msgspec.json.encode(handover.facts), type=Facts)
    return Handover(facts, handover.digest, handover.exported, handover.fetched), model


def odd_records(model: Model, count: int) -> list[dict[str, Any]]:
    """Golden records with a cell or two of another kind, or missing."""
    generator = random.Random(7)
    golden = model.passport.golden.cells
    records = []
    for _ in range(count):
        place = generator.randrange(len(golden[0]))
        record = {name: cells[place] for name, cells in zip(model.schema.names, golden, strict=True)}
        for name in generator.sample(sorted(record), min(len(record), generator.choice((0, 1, 1, 2)))):
            if generator.random() < 0.1:
                del record[name]
            else:
                other = generator.choice(golden[model.schema.names.index(name)])
                record[name] = generator.choice([other, *ODD])
        records.append(record)
    return records


@pytest.mark.parametrize(("make", "files"), PIPELINES, ids=[make.__name__ for make, _ in PIPELINES])
def test_two_thousand_odd_records_have_the_same_bytes(
    make: Callable[[], pipelines.Fitted], files: str, tmp_path: Path
) -> None:
    """Before and after a reload of the same model: predictions, probabilities, refusals."""
    pipeline, X, y = make()
    skdeploy.save(pipeline, X, y, tmp_path / "m.bin", name="m")
    handover, proved = handed_over((tmp_path / "m.bin").read_bytes())
    there = {"exported": handover.exported is not None, "fetched": handover.fetched is not None}
    assert there == {name: files in (name, "both") for name in there}
    model = skdeploy.load(tmp_path / "m.bin")
    app = create_app(model, WebSettings.from_env({}))
    body = json.dumps(odd_records(model, 2000))
    query = "?errors=partial" + ("&proba=true" if model.passport.output.probabilities else "")
    before = app.test_client().post(f"/predict{query}", data=body)
    loaded = handover.load(name="m", where="m.bin", trusted=())
    app.extensions["skdeploy"].models[ONLY].swap(loaded)
    after = app.test_client().post(f"/predict{query}", data=body)
    assert (before.status_code, before.data) == (after.status_code, after.data)
    assert before.data.count(b'"prediction"') > 200
    assert (loaded.digest, loaded.file_digest, loaded.engine.name, loaded.fallback, loaded.notes) == (
        model.digest,
        model.file_digest,
        model.engine.name,
        model.fallback,
        model.notes,
    )
    assert (loaded.cost, loaded.together, loaded.compared) == (proved.cost, proved.together, proved.compared)


def test_the_serving_process_loads_a_graph_alone(tmp_path: Path) -> None:
    """It needs no scikit-learn, and unpickles nothing."""
    content = (ROOT / "model.bin").read_bytes()
    handover, _ = handed_over(content)
    assert handover.exported is not None
    (tmp_path / "exported").write_bytes(handover.exported)
    (tmp_path / "facts").write_bytes(msgspec.json.encode(handover.facts))
    code = """
import pickle, sys
for name in ("sklearn", "pandas", "joblib", "scipy"):
    sys.modules[name] = None
from pathlib import Path
import msgspec
from skdeploy.model.handover import Facts, Handover
pickle.loads = pickle.load = pickle.Unpickler = None
facts = msgspec.json.decode(Path("facts").read_bytes(), type=Facts)
handover = Handover(facts, sys.argv[1], Path("exported").read_bytes(), None)
model = handover.load(name="m", where="m.bin", trusted=())
print(model.passport.name, model.digest)
"""
    command = [sys.executable, "-c", code, sha256(content)]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["flight-air-time", sha256(content)], done.stderr


def test_loading_takes_milliseconds(tmp_path: Path) -> None:
    """A worker answers requests meanwhile: compiling the same model takes a hundred times as long."""
    handover, _ = handed_over((ROOT / "model.bin").read_bytes())
    times = []
    for _ in range(5):
        began = time.perf_counter()
        handover.load(name="m", where="m.bin", trusted=())
        times.append(time.perf_counter() - began)
    assert min(times) < 0.2


def test_an_exported_model_is_handed_over_as_it_is(tmp_path: Path) -> None:
    """Its file's digest stays known beside the pickle's."""
    content = (ROOT / "model.bin").read_bytes()
    exported, _ = export(content, digest=sha256(content), where="m.bin")
    handover, _ = handed_over(exported, "m.skdeploy")
    assert (handover.exported, handover.fetched) == (exported, None)
    loaded = handover.load(name="m", where="m.skdeploy", trusted=())
    assert (loaded.digest, loaded.file_digest) == (sha256(content), sha256(exported))


def test_scikit_learn_serves_what_it_served(regressor_file: Path) -> None:
    """With SKDEPLOY_ENGINE=sklearn the pickle is handed over, and nothing is compiled."""
    handover, _ = handed_over(regressor_file.read_bytes(), engine="sklearn")
    assert handover.exported is None
    assert handover.load(name="m", where="m.bin", trusted=()).engine.name == "sklearn"


@pytest.mark.parametrize("files", ["exported", "fetched"])
def test_bytes_with_another_digest_are_not_loaded(regressor_file: Path, files: str) -> None:
    """Neither the exported model nor the pickle."""
    handover, _ = handed_over(
        regressor_file.read_bytes(), engine="auto" if files == "exported" else "sklearn"
    )
    other = Handover(
        handover.facts,
        handover.digest,
        None if handover.exported is None else handover.exported + b"x",
        None if handover.fetched is None else handover.fetched + b"x",
    )
    with pytest.raises(DigestMismatch):
        other.load(name="m", where="m.bin", trusted=())
