"""train.py --mlflow, against a real tracking server whose artifacts are in a real S3 server."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline

import skdeploy
from examples.flights import baselines, data, tracking
from examples.flights.pipeline import build_pipeline
from examples.servers.mlflow_server import MlflowServer, mlflow_server
from examples.servers.process import program
from examples.servers.s3 import S3
from skdeploy import source
from skdeploy.errors import SaveError
from skdeploy.mlflow_variables import DIGEST_TAG
from skdeploy.saving.mlflow import Logged
from tests.stores import enter, restart, running_s3, within

pytestmark = pytest.mark.heavy
TREES = ("numpy.dtype", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")


DRIFT = [0.0]


class Drifting(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts a constant, to which whoever unpickles it adds DRIFT."""

    def fit(self, X: Any, y: Any) -> Drifting:
        self.level_ = float(np.mean(y))
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.level_)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.level_ += DRIFT[0]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module", params=["proxied", "direct"])
def server(
    request: pytest.FixtureRequest, s3: S3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """A tracking server that passes artifacts on, and one whose clients go to S3 themselves."""
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder, s3, proxied=request.param == "proxied") as running:
        yield running


class Trained(NamedTuple):
    """A small part of the flights, and a pipeline fitted on it and saved."""

    split: data.Split
    pipeline: Pipeline
    path: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    whole = data.split_by_time(*data.load_flights())
    train, test = (
        X.sample(rows, random_state=0).index for X, rows in ((whole.X_train, 3000), (whole.X_test, 500))
    )
    split = data.Split(
        whole.X_train.loc[train], whole.y_train.loc[train], whole.X_test.loc[test], whole.y_test.loc[test]
    )
    pipeline = build_pipeline(0).set_params(trees__max_iter=20).fit(split.X_train, split.y_train)
    path = tmp_path_factory.mktemp("model") / "model.bin"
    score = baselines.score(split.y_test, pipeline.predict(split.X_test))
    skdeploy.save(
        pipeline,
        split.X_train,
        split.y_train,
        path,
        name="flight-air-time",
        columns=data.REQUIRED,
        metrics={"test_mae_minutes": score.mae},
    )
    return Trained(split, pipeline, path)


@pytest.fixture(autouse=True)
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client needs to know of the server, for the length of a test."""
    enter(monkeypatch, {"MLFLOW_DISABLE_TELEMETRY": "true"})
    if "server" in request.fixturenames:
        enter(monkeypatch, request.getfixturevalue("server").environment)


@pytest.fixture
def logged(server: MlflowServer, trained: Trained) -> Logged:
    """The model, logged and promoted."""
    return log(trained, promote=True)


def log(trained: Trained, *, promote: bool) -> Logged:
    predicted = trained.pipeline.predict(trained.split.X_test)
    return tracking.log(trained.path, trained.split, predicted, trained.pipeline, promote=promote)


def client() -> Any:
    import mlflow

    return mlflow.MlflowClient()


def fetched(uri: str, folder: Path) -> Path:
    """The artifacts of a model or a run, downloaded."""
    import mlflow

    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))


def test_the_run_says_how_the_model_was_made(logged: Logged, trained: Trained) -> None:
    """Parameters of the pipeline's parts, sizes of the data, and the passport's metrics."""
    run = client().get_run(logged.run_id).data
    assert run.params["trees__max_iter"] == "20"
    assert run.params["training_flights"] == "3000"
    assert run.metrics == joblib.load(trained.path).passport_["metrics"]


def test_the_passport_is_there_to_read_without_golden_records(
    logged: Logged, trained: Trained, tmp_path: Path
) -> None:
    """passport.json is the passport but for its golden records, which may be real rows, and its sketch."""
    passport = dict(joblib.load(trained.path).passport_)
    del passport["golden"], passport["sketch"]
    written = fetched(f"runs:/{logged.run_id}/passport.json", tmp_path).read_text()
    assert json.loads(written) == json.loads(json.dumps(passport))


def test_the_figures_are_drawn(logged: Logged, tmp_path: Path) -> None:
    """Three pictures, and none of one colour."""
    folder = fetched(f"runs:/{logged.run_id}/figures", tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["importances.png", "predicted.png", "residuals.png"]
    assert all(matplotlib.image.imread(folder / name)[..., :3].std() > 0.05 for name in names)


def test_the_signature_knows_types_and_nulls(logged: Logged, trained: Trained) -> None:
    """Every column in order; text, whole numbers and doubles; only the weather may be null."""
    from mlflow.models import get_model_info

    columns = get_model_info(logged.uri).signature.inputs.to_dict()
    assert [column["name"] for column in columns] == list(trained.split.X_train)
    kinds = {column["name"]: column["type"] for column in columns}
    assert (kinds["origin"], kinds["month"], kinds["temp"]) == ("string", "long", "double")
    assert {column["name"] for column in columns if not column["required"]} == set(data.WEATHER)


def test_the_input_example_predicts_and_is_no_row(logged: Logged, trained: Trained, tmp_path: Path) -> None:
    """It is put together from the columns' examples."""
    example = json.loads((fetched(logged.uri, tmp_path) / "input_example.json").read_text())
    frame = pd.DataFrame(example["data"], columns=example["columns"])
    assert trained.pipeline.predict(frame)[0] > 0
    rows = trained.split.X_train.merge(frame.astype(trained.split.X_train.dtypes), how="inner")
    assert rows.empty


def test_plain_mlflow_predicts_the_same_elsewhere(
    logged: Logged, server: MlflowServer, trained: Trained, tmp_path: Path
) -> None:
    """mlflow.sklearn.load_model, in another environment, where skdeploy is not."""
    code = (
        "import sys, importlib.util, mlflow.sklearn, pandas\n"
        "assert importlib.util.find_spec('skdeploy') is None\n"
        "model = mlflow.sklearn.load_model(sys.argv[1])\n"
        "print(model.predict(pandas.read_pickle(sys.argv[2])).tolist())"
    )
    trained.split.X_test.to_pickle(tmp_path / "flights.pkl")
    python = Path(program("mlflow")).with_name("python")
    done = subprocess.run(
        [python, "-I", "-c", code, logged.uri, tmp_path / "flights.pkl"],
        cwd=tmp_path,
        env={**server.environment, "PATH": "", "HOME": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = trained.pipeline.predict(trained.split.X_test).tolist()
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(expected, rel=1e-9)


def test_promoting_moves_the_alias_to_a_tagged_version(logged: Logged, tmp_path: Path) -> None:
    """champion is the new version, and its tag is the SHA-256 of the file in the store."""
    champion = client().get_model_version_by_alias("flight-air-time", "champion")
    content = (fetched(logged.uri, tmp_path) / "model.pkl").read_bytes()
    assert champion.version == logged.version
    assert champion.tags[DIGEST_TAG] == hashlib.sha256(content).hexdigest() == logged.sha256


def test_without_promoting_the_champion_stays(logged: Logged, trained: Trained) -> None:
    """The new version is registered and tagged, and nothing else."""
    second = log(trained, promote=False)
    assert second.version != logged.version
    assert client().get_model_version("flight-air-time", second.version).tags[DIGEST_TAG] == second.sha256
    assert client().get_model_version_by_alias("flight-air-time", "champion").version == logged.version


@pytest.mark.parametrize("serialization_format", ["pickle", "skops"])
def test_the_service_takes_what_was_logged(
    server: MlflowServer, trained: Trained, serialization_format: Any
) -> None:
    """Fetched by its alias, with its passport, verified by its tag, proved."""
    options = {"serialization_format": serialization_format, "skops_trusted_types": TREES}
    logged = skdeploy.log_model(trained.path, name=serialization_format, alias="champion", **options)
    model = source.load(logged.uri, trusted=TREES)
    assert model.digest == logged.sha256
    assert model.passport.to_plain() == joblib.load(trained.path).passport_


def test_skops_says_which_types_it_does_not_trust(server: MlflowServer, trained: Trained) -> None:
    """Nothing is registered then."""
    with pytest.raises(SaveError, match="TreePredictor"):
        skdeploy.log_model(trained.path, name="untrusted", serialization_format="skops")
    assert client().search_registered_models("name = 'untrusted'") == []


def test_what_comes_back_as_another_model_is_not_registered(
    server: MlflowServer, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The golden records decide, before there is a version that an alias could point to."""
    X, y = trained.split.X_train, trained.split.y_train
    skdeploy.save(Drifting().fit(X, y), X, y, tmp_path / "model.bin", name="drifting")
    monkeypatch.setattr(sys.modules[__name__], "DRIFT", [0.5])
    with pytest.raises(SaveError, match="came back from the artifact store as another one: Golden record 0"):
        skdeploy.log_model(tmp_path / "model.bin")
    assert client().search_registered_models("name = 'drifting'") == []


def test_a_metric_that_is_nan_is_logged_and_read_back(server: MlflowServer, tmp_path: Path) -> None:
    """It equals nothing, and stands in no way of the version."""
    X = pd.DataFrame({"a": [float(each) for each in range(50)]})
    skdeploy.save(
        LinearRegression().fit(X, X["a"]),
        X,
        X["a"],
        tmp_path / "nan.bin",
        name="nan",
        metrics={"auc": math.nan},
    )
    logged = skdeploy.log_model(tmp_path / "nan.bin", alias="champion")
    assert math.isnan(client().get_run(logged.run_id).data.metrics["auc"])
    assert math.isnan(source.load(logged.uri).passport.metrics["auc"])


def test_an_alias_that_cannot_be_set_leaves_no_version(
    server: MlflowServer, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that nobody asked for would be taken for one that was promoted."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def refuse(*_: Any) -> None:
        raise MlflowException("the server ends here")

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", refuse)
    with pytest.raises(SaveError, match="the server ends here"):
        skdeploy.log_model(trained.path, name="half", alias="champion")
    assert client().search_model_versions("name = 'half'") == []


def test_a_run_of_ones_own_is_written_to_and_stays_open(server: MlflowServer, trained: Trained) -> None:
    """log_model inside of `with mlflow.start_run()` adds to that run."""
    import mlflow

    with mlflow.start_run() as run:
        logged = skdeploy.log_model(trained.path)
        mlflow.log_metric("afterwards", 1)
    assert logged.run_id == run.info.run_id
    assert client().get_run(run.info.run_id).data.metrics["afterwards"] == 1


def test_a_store_that_is_down_leaves_the_champion(logged: Logged, s3: S3, trained: Trained) -> None:
    """S3 is killed: an error within a minute, and no new version."""
    s3.process.kill()
    try:
        with within(60), pytest.raises(SaveError, match="did not take the model"):
            skdeploy.log_model(trained.path, alias="champion")
    finally:
        restart(s3)
    versions = client().search_model_versions("name = 'flight-air-time'")
    assert max(int(version.version) for version in versions) == int(logged.version)
    assert client().get_model_version_by_alias("flight-air-time", "champion").version == logged.version


def test_the_experiments_name_can_be_set(
    server: MlflowServer, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLFLOW_EXPERIMENT_NAME wins over the example's own."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    run = client().get_run(log(trained, promote=False).run_id)
    assert client().get_experiment(run.info.experiment_id).name == "another"
