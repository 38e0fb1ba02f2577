"""Exported models: one file with a graph and a passport in place of a pickle."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import sklearn
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skdeploy
from skdeploy.errors import (
    DigestMismatch,
    ExportError,
    ModelUnavailable,
    ProofFailed,
    UnreadableModel,
)
from skdeploy.model import Model
from skdeploy.model.exported import load_exported
from skdeploy.model.exporting import export
from skdeploy.model.proof import golden_table
from skdeploy.schema import RecordReader
from skdeploy.scoring import Scorer
from tests import pipelines
from tests.command import command
from tests.conftest import small_frame, small_pipeline
from tests.stores import sha256
from tests.web.ways import client_of

ROOT = Path(__file__).parents[2]

EXPORTED = [
    pipelines.mixed_regression,
    pipelines.one_hot_refuses_with_string_labels,
    pipelines.one_hot_nan_is_a_category,
    pipelines.one_hot_none_is_a_category,
    pipelines.one_hot_of_integers_and_booleans,
    pipelines.ordinal_with_values_for_unknown_and_missing,
    pipelines.target_encoder,
    pipelines.booleans_with_boolean_labels,
    pipelines.nullable_integers,
    pipelines.categories_one_hot,
    pipelines.array_of_doubles,
    pipelines.float32_columns,
    pipelines.names_of_all_kinds,
    pipelines.clusters,
]


def exported(path: Path, out: Path, golden: Literal["real", "synthetic"] = "synthetic") -> Model:
    """The model of the file, exported to `out` and loaded from there."""
    content = path.read_bytes()
    out.write_bytes(export(content, digest=sha256(content), where=str(path), golden=golden)[0])
    return skdeploy.load(out)


@pytest.mark.parametrize("make", EXPORTED, ids=lambda make: make.__name__)
def test_it_predicts_what_the_pipeline_does(make: Callable[[], pipelines.Fitted], tmp_path: Path) -> None:
    """Values, labels and probabilities of whole tables and of lone records are the compiled model's own."""
    pipeline, X, y = make()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    compiled = skdeploy.load(tmp_path / "model.bin", engine="onnx")
    got = exported(tmp_path / "model.bin", tmp_path / "model.skdeploy", golden="real")
    proba = compiled.passport.output.probabilities
    table = golden_table(compiled.passport)
    for records in (table, table.rows([0])):
        here, there = (Scorer(model).predict(records, proba=proba) for model in (compiled, got))
        assert (there.values, there.probabilities) == (here.values, here.probabilities)
    assert (got.passport, got.digest) == (compiled.passport, compiled.digest)


@pytest.fixture
def file(regressor_file: Path, tmp_path: Path) -> Path:
    """The small regression model, exported."""
    exported(regressor_file, tmp_path / "model.skdeploy")
    return tmp_path / "model.skdeploy"


def test_it_is_named_for_the_pickle(file: Path, regressor_file: Path) -> None:
    """`digest` is the pickle's wherever the model runs; a configured one is the file's own."""
    own, of_pickle = sha256(file.read_bytes()), sha256(regressor_file.read_bytes())
    model = skdeploy.load(file, sha256=own)
    assert (model.digest, model.file_digest, model.engine.name) == (of_pickle, own, "onnx")
    for other in ("0" * 64, of_pickle):
        with pytest.raises(DigestMismatch, match=f"SKDEPLOY_MODEL_SHA256 says {other}"):
            skdeploy.load(file, sha256=other)
    pickled = skdeploy.load(regressor_file)
    assert (pickled.digest, pickled.file_digest) == (of_pickle, of_pickle)


def test_its_page_shows_both_digests(file: Path, regressor_file: Path) -> None:
    """`GET /` says by which digest answers name the model, and which file it was loaded from."""
    shown = client_of(skdeploy.load(file)).get("/", headers={"Accept": "application/json"}).json
    assert shown is not None
    assert shown["model"]["sha256"] == sha256(regressor_file.read_bytes())
    assert shown["model"]["file_sha256"] == sha256(file.read_bytes())
    assert shown["source"]["verified"] is False


def test_the_origin_says_whether_the_digest_was_known(file: Path) -> None:
    """A path alone verifies nothing; SKDEPLOY_MODEL_SHA256 does."""
    for digest, verified in ((None, False), (sha256(file.read_bytes()), True)):
        origin = skdeploy.load(file, digest).origin
        assert origin is not None
        assert origin.verified is verified


def test_golden_records_are_synthetic_unless_real_ones_are_asked_for(
    regressor_file: Path, regressor: Model, tmp_path: Path
) -> None:
    """By default no row of the training data is among them; the pipeline predicts those made up."""
    real = exported(regressor_file, tmp_path / "real.skdeploy", golden="real").passport.golden
    made_up = exported(regressor_file, tmp_path / "model.skdeploy").passport.golden
    assert (real, real.synthetic, made_up.synthetic) == (regressor.passport.golden, False, True)
    sizes, others = ({cell for cell in golden.cells[0] if cell is not None} for golden in (real, made_up))
    assert sizes
    assert not sizes & others
    assert len(made_up.predictions) > 100


def test_the_same_model_makes_the_same_bytes(regressor_file: Path, tmp_path: Path) -> None:
    """Two processes that hash texts differently write the same file, over another one as well."""
    for seed, name in [("1", "one.skdeploy"), ("2", "two.skdeploy")]:
        (tmp_path / name).write_text("old")
        subprocess.run(
            [sys.executable, "-m", "skdeploy", "export", str(regressor_file), str(tmp_path / name)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
    assert (tmp_path / "one.skdeploy").read_bytes() == (tmp_path / "two.skdeploy").read_bytes()
    assert len([*tmp_path.iterdir()]) == 2


# Members of an exported model's file.
Members = dict[str, bytes]


def members(file: Path) -> Members:
    """What is in the file, by name."""
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archived(parts: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name twice
        for name, content in parts:
            archive.writestr(name, content)
    return buffer.getvalue()


def changed(file: Path, name: str, change: Callable[[Any], None]) -> None:
    """Change a member of JSON."""
    parts = members(file)
    plain = json.loads(parts[name])
    change(plain)
    file.write_bytes(archived((parts | {name: json.dumps(plain).encode()}).items()))


def test_its_members_are_stored(file: Path) -> None:
    """Any zip tool shows them: the manifest with the versions, the passport, the graph."""
    assert [*members(file)] == ["skdeploy.json", "passport.json", "model.onnx"]
    versions = json.loads(members(file)["skdeploy.json"])["versions"]
    assert versions["scikit-learn"] == sklearn.__version__
    assert versions["skdeploy"] == skdeploy.__version__
    file.write_bytes(archived(members(file).items()))
    assert skdeploy.load(file).passport.name == "tree"


def test_another_prediction_is_refused(file: Path) -> None:
    """Golden records that predict something else than the passport says are named."""

    def change(plain: Any) -> None:
        plain["golden"]["predictions"][2] += 0.01

    changed(file, "passport.json", change)
    with pytest.raises(ProofFailed, match=r"Golden record 2 predicts .* Export it again"):
        skdeploy.load(file)


def test_a_prediction_within_the_tolerance_of_engines_is_taken(file: Path) -> None:
    """The graph is compared as compiled engines are, whatever is installed beside it."""

    def change(plain: Any) -> None:
        plain["golden"]["predictions"][2] *= 1 + 1e-7

    changed(file, "passport.json", change)
    assert skdeploy.load(file).engine.name == "onnx"


def _without_golden(plain: Any) -> None:
    plain["golden"].update(cells=[[] for _ in plain["golden"]["cells"]], predictions=[])


@pytest.mark.parametrize(
    ("member", "damage", "said"),
    [
        ("skdeploy.json", lambda plain: plain.update(format=2), "format is 2"),
        ("skdeploy.json", lambda plain: plain.pop("features"), "features"),
        ("skdeploy.json", lambda plain: plain["features"].append({}), "kind"),
        ("skdeploy.json", lambda plain: plain["features"].pop(), "cannot be run|do not predict"),
        ("skdeploy.json", lambda plain: plain.update(split_most=99), "split_most"),
        ("skdeploy.json", lambda plain: plain.update(exported_from="x"), "exported_from"),
        ("skdeploy.json", lambda plain: plain.update(largest=float("nan")), "NaN"),
        ("passport.json", lambda plain: plain.update(format=9), "format 9"),
        ("passport.json", lambda plain: plain["schema"]["columns"].pop(), "damaged"),
        ("passport.json", lambda plain: plain["schema"].update(columns=3), "damaged"),
        ("passport.json", _without_golden, "golden records are missing"),
    ],
)
def test_a_damaged_document_is_refused(
    file: Path, member: str, damage: Callable[[Any], None], said: str
) -> None:
    """What is missing or of another format is said, with the remedy."""
    changed(file, member, damage)
    with pytest.raises(ModelUnavailable, match=said) as caught:
        skdeploy.load(file)
    assert re.search(r"skdeploy export|Export it again", str(caught.value))


def test_a_file_without_golden_records_is_read_where_another_process_has_proved_it(file: Path) -> None:
    """Only code that says so reads one; its probe is then the schema's example, and it predicts the same."""
    expected = skdeploy.load(file)
    golden = golden_table(expected.passport)
    changed(file, "passport.json", _without_golden)
    content = file.read_bytes()
    model = load_exported(content, digest=sha256(content), where="state", golden=False)
    assert not model.passport.golden.predictions
    assert Scorer(model).predict(golden).values == Scorer(expected).predict(golden).values
    assert Scorer(model).predict(model.probe).values[0] is not None


def _overlong(parts: Members) -> bytes:
    """An archive whose directory says of a member that it has 3 GB."""
    content = archived(parts.items())
    size = struct.pack("<L", len(parts["model.onnx"]))
    at = content.rindex(size + size, 0, content.rindex(b"model.onnx"))
    return content[:at] + struct.pack("<L", 3 << 30) * 2 + content[at + 8 :]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda parts: archived(parts.items())[:-1], "damaged"),
        (lambda parts: archived(parts.items())[:999], "damaged"),
        (lambda parts: archived(parts.items()) + b"\0", "damaged"),
        (lambda parts: archived(parts.items()) + bytes(4000), "damaged"),
        (lambda parts: b"#!/bin/sh\n" + archived(parts.items()), "members make"),
        (lambda parts: archived([*parts.items()][:2]), "its members are"),
        (lambda parts: archived([*parts.items(), *parts.items()]), "its members are"),
        (lambda parts: archived([*parts.items(), ("../x.py", b"")]), "its members are"),
        (lambda parts: archived(sorted(parts.items())), "its members are"),
        (lambda parts: archived(parts.items(), zipfile.ZIP_DEFLATED), "not stored"),
        (lambda parts: archived(parts.items(), zipfile.ZIP_LZMA), "not stored"),
        (lambda parts: archived((parts | {"passport.json": bytes(2**26 + 1)}).items()), "more than any"),
        (_overlong, "more than any"),
        (lambda parts: archived((parts | {"passport.json": b"[" * 10**6}).items()), "passport.json"),
        (lambda parts: archived((parts | {"passport.json": b'{"a": "\xff"}'}).items()), "passport.json"),
        (lambda parts: archived((parts | {"model.onnx": b""}).items()), "cannot be run"),
        (lambda parts: archived((parts | {"model.onnx": parts["model.onnx"][:-5]}).items()), "not run"),
        (lambda _: b"", "damaged"),
        (lambda _: pickle.dumps(Path), "damaged"),
    ],
)
def test_a_damaged_file_is_refused(file: Path, damage: Callable[[Members], bytes], said: str) -> None:
    """Whatever a file of that name holds, a message says what is wrong, and nothing is unpickled."""
    file.write_bytes(damage(members(file)))
    with pytest.raises(UnreadableModel, match=said) as caught:
        skdeploy.load(file)
    assert str(file) in str(caught.value)
    assert "skdeploy export" in str(caught.value)


def test_flipped_bytes_never_end_in_a_traceback(file: Path) -> None:
    """A file with one byte changed is refused by a message, or is the same model; 100 places are tried."""
    content, random = file.read_bytes(), np.random.default_rng(0)
    expected = skdeploy.load(file).passport
    for place in random.choice(len(content), 100, replace=False):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            assert skdeploy.load(file).passport == expected
        except ModelUnavailable:
            continue


class Fuse:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_under_its_name_is_never_unpickled(tmp_path: Path) -> None:
    """A file named .skdeploy is an exported model or nothing: no pickle passes for one."""
    (tmp_path / "model.skdeploy").write_bytes(pickle.dumps(Fuse(tmp_path / "exploded")))
    with pytest.raises(UnreadableModel, match="no exported model"):
        skdeploy.load(tmp_path / "model.skdeploy")
    assert not (tmp_path / "exploded").exists()


def test_it_is_known_by_its_bytes_as_well(file: Path, tmp_path: Path) -> None:
    """Under another name it serves all the same."""
    file.rename(tmp_path / "model.bin")
    assert skdeploy.load(tmp_path / "model.bin").exported


def _external(model: Any) -> None:
    tensor = model.graph.initializer.add(name="w", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="/etc/passwd")


def _in_a_branch(model: Any) -> None:
    branch = onnx.helper.make_graph([onnx.helper.make_node("Evil", [], ["z"], domain="evil")], "b", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_external, "data are in another file"),
        (lambda model: model.graph.initializer.add(data_location=1), "data are in another file"),
        (lambda model: model.graph.node[0].attribute.add().t.external_data.add(), "in another file"),
        (lambda model: model.graph.sparse_initializer.add().values.external_data.add(), "in another file"),
        (lambda model: model.opset_import.add(domain="com.microsoft", version=1), "'com.microsoft'"),
        (lambda model: setattr(model.graph.node[0], "domain", "com.microsoft"), "'com.microsoft'"),
        (_in_a_branch, "'evil'"),
        (lambda model: model.functions.add(name="f"), "functions of its own"),
        (lambda model: model.training_info.add(), "training steps"),
    ],
)
def test_a_graph_that_reaches_beyond_its_file_is_not_run(
    file: Path, change: Callable[[Any], Any], said: str
) -> None:
    """Neither other files' data nor operators beyond ONNX's own, wherever in the graph they stand."""
    parts = members(file)
    model = onnx.load_from_string(parts["model.onnx"])
    change(model)
    file.write_bytes(archived((parts | {"model.onnx": model.SerializeToString()}).items()))
    with pytest.raises(UnreadableModel, match=said):
        skdeploy.load(file)


def test_a_graph_in_the_format_of_onnxruntime_is_not_run(file: Path, tmp_path: Path) -> None:
    """Nobody looks into that format: whatever says that it is one is refused."""
    parts = members(file)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(parts["model.onnx"], options, providers=["CPUExecutionProvider"])
    ort = (tmp_path / "model.ort").read_bytes()
    # As an unknown field of the message around it, which the check passes over.
    for graph in (ort, b"\x9a\x06\x04\x00ORTM" + parts["model.onnx"]):
        file.write_bytes(archived((parts | {"model.onnx": graph}).items()))
        with pytest.raises(UnreadableModel, match=r"not run|cannot be run"):
            skdeploy.load(file)


WITHOUT = """
import sys
for name in ("sklearn", "pandas", "scipy", "joblib", "pickle5", "skl2onnx", "onnx", "cloudpickle"):
    sys.modules[name] = None

def refuse(event, arguments):
    assert event != "pickle.find_class", arguments

sys.addaudithook(refuse)
"""


def test_it_needs_neither_scikit_learn_nor_pickle(file: Path) -> None:
    """Where those libraries cannot be imported, and a pickle that names a global raises, it predicts."""
    code = f"{WITHOUT}import skdeploy, skdeploy.scoring; model = skdeploy.load({str(file)!r})\n"
    code += "print(skdeploy.scoring.Scorer(model).predict(model.probe).values)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    model = skdeploy.load(file)
    assert done.stdout.strip() == str(Scorer(model).predict(model.probe).values)


def test_a_record_for_scikit_learn_alone_takes_nothing_from_its_neighbours(tmp_path: Path) -> None:
    """A number beyond a single's range, in a graph that has one, is unscorable; the others are scored."""
    frame = pd.DataFrame({"a": np.linspace(0.5, 90.5, 80).astype("float32").astype(float)})
    pipeline = make_pipeline(RandomForestRegressor(3, random_state=0)).fit(frame, frame["a"] * 2)
    skdeploy.save(pipeline, frame, frame["a"] * 2, tmp_path / "model.bin")
    model = exported(tmp_path / "model.bin", tmp_path / "model.skdeploy")
    table = RecordReader(model.schema).read([{"a": 1.0}, {"a": 1e300}, {"a": 2.0}]).table
    got = Scorer(model).predict(table)
    assert got.unscorable == {1: "only scikit-learn can score it, which an exported model does without"}
    assert got.values[1] is None
    assert [got.values[0], got.values[2]] == Scorer(model).predict(table.rows([0, 2])).values


def test_a_pipeline_that_does_not_compile_is_refused(tmp_path: Path) -> None:
    """The reason is given, and the container as the remedy; nothing is written."""
    frame = small_frame()[["age"]]
    pipeline = make_pipeline(FunctionTransformer(np.sinc), LinearRegression()).fit(frame, frame["age"])
    skdeploy.save(pipeline, frame, frame["age"], tmp_path / "model.bin")
    with pytest.raises(ExportError, match=r"cannot be exported: .*cannot be compiled.*engines.md"):
        exported(tmp_path / "model.bin", tmp_path / "model.skdeploy")
    assert not (tmp_path / "model.skdeploy").exists()


def test_a_text_vectorizer_is_refused(tmp_path: Path) -> None:
    """Its analyzer is scikit-learn's code."""
    pipeline, X, y = pipelines.tfidf_on_a_column()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    with pytest.raises(ExportError, match=r"analyzer.*engines.md"):
        exported(tmp_path / "model.bin", tmp_path / "model.skdeploy")


def test_a_model_without_passport_is_refused(tmp_path: Path) -> None:
    """Nothing would prove it where it is loaded."""
    frame = small_frame()
    joblib.dump(small_pipeline(LinearRegression()).fit(frame, frame["age"]), tmp_path / "model.bin")
    with pytest.raises(ExportError, match="no passport"):
        exported(tmp_path / "model.bin", tmp_path / "model.skdeploy")


def test_an_exported_model_is_not_exported_again(file: Path) -> None:
    """There is no pipeline in it that could be compiled."""
    with pytest.raises(ExportError, match="exported model already"):
        export(file.read_bytes(), digest=sha256(file.read_bytes()), where=str(file))


def test_the_command_exports_and_says_what(regressor_file: Path, tmp_path: Path) -> None:
    """`export` writes the file, which the doctor finds well, and prints both digests."""
    out = tmp_path / "model.skdeploy"
    said = command("export", str(regressor_file), str(out), "--golden", "real").stdout
    assert "golden records predict" in said
    assert f"SHA-256 {sha256(out.read_bytes())}, exported from {sha256(regressor_file.read_bytes())}" in said
    assert not skdeploy.load(out).passport.golden.synthetic
    assert "model: Model(tree" in command("doctor", str(out)).stdout


def test_the_command_says_what_is_wrong(regressor_file: Path, tmp_path: Path) -> None:
    """A model that is not there ends in 3; a file that no door would know for an exported model in 2."""
    missing = command("export", "none.bin", str(tmp_path / "model.skdeploy"))
    assert missing.exit_code == 3
    assert "There is no model" in missing.stderr
    misnamed = command("export", str(regressor_file), str(tmp_path / "model.zip"))
    assert misnamed.exit_code == 2
    assert "does not end in .skdeploy" in misnamed.stderr
    assert [*tmp_path.iterdir()] == []


def test_scikit_learn_cannot_be_asked_for(file: Path) -> None:
    """SKDEPLOY_ENGINE=sklearn refuses an exported model."""
    with pytest.raises(ModelUnavailable, match="an exported model, without"):
        skdeploy.load(file, engine="sklearn")
