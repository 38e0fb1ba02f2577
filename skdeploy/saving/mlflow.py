"""A saved model -> an MLflow run and its registry: what was proved is what is logged, and what is tagged.

    with mlflow.start_run():
        skdeploy.log_model("model.bin", alias="champion")

The tracking server is MLflow's own business: MLFLOW_TRACKING_URI, or mlflow.set_tracking_uri.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import joblib
import msgspec
import numpy as np
import pandas as pd

from skdeploy.engines.inputs import InputBuilder
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import ExportError, ProofFailed, SaveError
from skdeploy.mlflow_variables import DIGEST_TAG, EXPORTED_FILE, EXPORTED_TAG, unless_set
from skdeploy.model import carried
from skdeploy.model.exporting import export
from skdeploy.model.packed import BYTECODE, unpack, versions_in
from skdeploy.model.proof import golden_table, prove
from skdeploy.passport import Passport
from skdeploy.passport.document import ATTRIBUTE
from skdeploy.passport.libraries import installed
from skdeploy.redacting import is_clear, shortened, shown
from skdeploy.schema import RecordReader, Table

Format = Literal["pickle", "cloudpickle", "skops"]

# MLflow's own would try for many minutes. What the user has set stays.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that passes artifacts on would send its clients to the store all the same, whose address
    # may mean nothing to them; they would try for minutes.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}
_IMPATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "3"}
# What MLflow takes in the name of a parameter or a metric, and how long a parameter may be.
_NOT_IN_A_NAME = re.compile(r"[^\w\-. /:]")
_LONGEST_PARAMETER = 6000
_NOT_IN_A_MODELS_NAME = re.compile(r"[/:@?#%'\"\n]")
_ALIAS = re.compile(r"(?!latest$|v\d+$)[\w-]{1,255}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Logged:
    """Where a model went: its run, its registered version, the alias if it got one.

    sha256   of the model's file in the artifact store; the version's tag says it too
    exported_sha256   of the exported model beside it; None if the pipeline cannot be exported
    not_exported      why it cannot
    """

    run_id: str
    name: str
    version: str
    sha256: str
    alias: str | None
    exported_sha256: str | None = None
    not_exported: str | None = None

    @property
    def uri(self) -> str:
        """What SKDEPLOY_MODEL_URI takes."""
        return f"models:/{self.name}@{self.alias}" if self.alias else f"models:/{self.name}/{self.version}"


def require_server() -> None:
    """Raise SaveError within seconds if mlflow is not installed, or if no server of version 3 answers."""
    mlflow = _mlflow()
    from mlflow.exceptions import MlflowException

    with _bounded(_IMPATIENCE, mlflow, "cannot be used"):
        client = mlflow.MlflowClient()
        experiments = client.search_experiments(max_results=1)
        try:
            client.search_logged_models(
                experiment_ids=[each.experiment_id for each in experiments] or ["0"], max_results=1
            )
        except MlflowException as error:
            if "404" not in str(error) and error.error_code != "ENDPOINT_NOT_FOUND":
                raise
            raise SaveError(
                f"MLflow at MLFLOW_TRACKING_URI={shown(mlflow.get_tracking_uri())} is a server of version 2, "
                "which has no logged models: use one of version 3."
            ) from error


def log_model(
    path: str | Path,
    *,
    name: str | None = None,
    alias: str | None = None,
    serialization_format: Format = "pickle",
    skops_trusted_types: Sequence[str] = (),
) -> Logged:
    """Log the model that `skdeploy.save` wrote to `path`, register it, and tag it with its digest.

    The active run, or one of its own, gets the pipeline's parameters, the passport's metrics,
    passport.json without golden records, and the model with signature and input example. The
    model is then fetched back, loaded as anybody would, and proved on its golden records. Where the
    pipeline compiles, the exported model is put beside it, for services without scikit-learn. Only
    then is it registered, with the tags `skdeploy.sha256` and `skdeploy.exported_sha256`, which a
    service compares before it loads; and only then the alias is set.

    path        a file of your own: it is unpickled
    name        the registered model's; default: the passport's name
    alias       set on the new version, "champion" by custom
    skops_trusted_types   what a skops file may hold beyond what skops trusts

    Raises SaveError.
    """
    _require_names(name, alias)
    mlflow = _mlflow()
    pipeline = joblib.load(path)
    if not hasattr(pipeline, ATTRIBUTE):
        raise SaveError(f"{path} has no passport: write it with skdeploy.save(pipeline, X, y, path).")
    unpacked = unpack(Path(path).read_bytes())
    if BYTECODE in versions_in(unpacked) or carried.__name__.encode() in unpacked:
        raise SaveError(
            f"{path} holds code of your own, which MLflow's pickles would leave behind: put the file into S3 "
            "and serve it from there, or save it with that code in an installed module, without code=[...]."
        )
    passport = Passport.from_plain(getattr(pipeline, ATTRIBUTE))
    name = name or passport.name
    _require_names(name, alias)
    require_server()
    with _bounded(_PATIENCE, mlflow, "did not take the model"), _run(mlflow) as run:
        _describe(mlflow, pipeline, passport)
        info = mlflow.sklearn.log_model(
            pipeline,
            name="model",
            serialization_format=serialization_format,
            skops_trusted_types=list(skops_trusted_types) or None,
            signature=_signature(passport),
            input_example=_example(passport),
            # MLflow would find them by predicting in another process, and would name its own as well.
            pip_requirements=_requirements(passport),
        )
        content = _proved(mlflow, info, passport)
        tags = {DIGEST_TAG: hashlib.sha256(content).hexdigest()}
        not_exported = None
        try:
            exported, _ = export(
                content, digest=tags[DIGEST_TAG], where=str(path), trusted=skops_trusted_types
            )
        except ExportError as error:
            not_exported = str(error)
        else:
            tags[EXPORTED_TAG] = _put_beside(mlflow, info, exported)
        version = mlflow.register_model(info.model_uri, name, tags=tags).version
        if alias:
            _set_alias(mlflow.MlflowClient(), name, alias, version)
    return Logged(
        run_id=run.info.run_id,
        name=name,
        version=str(version),
        sha256=tags[DIGEST_TAG],
        alias=alias,
        exported_sha256=tags.get(EXPORTED_TAG),
        not_exported=not_exported,
    )


def _require_names(name: str | None, alias: str | None) -> None:
    """Raise SaveError for a name or an alias that MLflow, or SKDEPLOY_MODEL_URI, cannot take."""
    if name is not None and (not name.strip() or _NOT_IN_A_MODELS_NAME.search(name)):
        raise SaveError(
            f"A registered model cannot be called {name!r}: leave out / : @ ? # % and quotes, such as in "
            "name='flight-air-time'."
        )
    if alias is not None and not _ALIAS.fullmatch(alias):
        raise SaveError(
            f"An alias cannot be {alias!r}: it has letters, digits, - and _, is not latest, and is not v "
            "with a number, such as alias='champion'."
        )


def _set_alias(client: Any, name: str, alias: str, version: Any) -> None:
    """Set it, or leave no version that nobody asked for."""
    try:
        client.set_registered_model_alias(name, alias, version)
    except Exception:
        with contextlib.suppress(Exception):  # the server is as good as gone
            client.delete_model_version(name, version)
        raise


def _mlflow() -> ModuleType:
    try:
        import mlflow
        import mlflow.sklearn
    except ModuleNotFoundError as error:
        raise SaveError(f"{error.name} is not installed: run pip install 'skdeploy[mlflow]'") from error
    return mlflow


@contextlib.contextmanager
def _bounded(patience: dict[str, str], mlflow: ModuleType, what: str) -> Iterator[None]:
    """With that patience; what MLflow raises becomes a SaveError that says where it was and `what` failed."""
    try:
        with unless_set(patience), warnings.catch_warnings():
            # MLflow's are about its own insides, and about whole numbers that could be null one day:
            # which may, the schema knows.
            warnings.simplefilter("ignore")
            yield
    except SaveError:
        raise
    except Exception as error:  # the server's, the store's, the network's, the pickle's
        address = mlflow.get_tracking_uri()
        said = f": {shortened(str(error))}" if is_clear(address) else ""
        raise SaveError(
            f"MLflow at MLFLOW_TRACKING_URI={shown(address)} {what} ({type(error).__name__}{said}). "
            "Is it running, and may you write to it?"
        ) from error


@contextlib.contextmanager
def _run(mlflow: ModuleType) -> Iterator[Any]:
    """The active run, which stays open; else one that ends with the block."""
    active = mlflow.active_run()
    if active is not None:
        yield active
        return
    with mlflow.start_run() as run:
        yield run


def _describe(mlflow: ModuleType, pipeline: Any, passport: Passport) -> None:
    mlflow.log_params(_parameters(pipeline))
    mlflow.log_metrics({_NOT_IN_A_NAME.sub("_", key): value for key, value in passport.metrics.items()})
    # Golden records may be real rows, the sketch is made of such, and this is for people to read.
    shown = {key: value for key, value in passport.to_plain().items() if key not in ("golden", "sketch")}
    mlflow.log_dict(shown, "passport.json")


def _parameters(pipeline: Any) -> dict[str, Any]:
    """The settings of the pipeline's parts that are plain values."""
    settings = pipeline.get_params() if hasattr(pipeline, "get_params") else {}
    return {
        _NOT_IN_A_NAME.sub("_", key): str(value)[:_LONGEST_PARAMETER]
        for key, value in settings.items()
        if value is None or isinstance(value, (bool, int, float, str))
    }


def _signature(passport: Passport) -> Any:
    """Types and nulls as the golden records show them; no value of theirs is in it."""
    from mlflow.models import infer_signature

    inputs = _inputs(passport, golden_table(passport))
    return infer_signature(inputs, _outputs(passport.golden.predictions))


def _outputs(predictions: list[Any]) -> Any:
    return pd.DataFrame(predictions) if isinstance(predictions[0], dict) else np.asarray(predictions)


def _example(passport: Passport) -> Any:
    """One record, made up of an example of each column: no row of the training data as it was."""
    record = {column.name: column.example for column in passport.schema.columns}
    return _inputs(passport, RecordReader(passport.schema).read([record]).table)


def _inputs(passport: Passport, table: Table) -> Any:
    columns = [
        # MLflow knows no decimals: what it serves itself gets doubles.
        msgspec.structs.replace(column, type="float", dtype="float64") if column.kind.is_exact else column
        for column in passport.schema.columns
    ]
    inputs = InputBuilder(msgspec.structs.replace(passport.schema, columns=columns)).build(table)
    # MLflow knows no Series, and a frame of one column is not what a text vectorizer takes.
    return inputs.tolist() if isinstance(inputs, pd.Series) else inputs


def _requirements(passport: Passport) -> list[str]:
    libraries = ("scikit-learn", "numpy", "scipy", "pandas", "joblib")
    return [f"{name}=={passport.libraries[name]}" for name in libraries if name in passport.libraries]


def _proved(mlflow: ModuleType, info: Any, passport: Passport) -> bytes:
    """Fetch the model back, load it as anybody would, prove it; its file."""
    with tempfile.TemporaryDirectory() as folder:
        local = mlflow.artifacts.download_artifacts(artifact_uri=info.model_uri, dst_path=folder)
        content = Path(local, info.flavors["sklearn"]["pickled_model"]).read_bytes()
        pipeline = mlflow.sklearn.load_model(local)
    plain = getattr(pipeline, ATTRIBUTE, None)
    if plain is None or not passport.is_same(Passport.from_plain(plain)):
        raise SaveError("The model came back from the artifact store without its passport, or with another.")
    try:
        prove(passport, SklearnEngine(pipeline, passport.schema), installed())
    except ProofFailed as error:
        raise SaveError(f"The model came back from the artifact store as another one: {error}") from error
    return content


def _put_beside(mlflow: ModuleType, info: Any, exported: bytes) -> str:
    """Add the exported model to the artifacts of the logged one, and fetch it back; its SHA-256."""
    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, EXPORTED_FILE).write_bytes(exported)
        client.log_model_artifacts(info.model_id, folder)
    with tempfile.TemporaryDirectory() as folder:
        uri = f"{client.get_logged_model(info.model_id).artifact_location}/{EXPORTED_FILE}"
        came_back = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)).read_bytes()
    if came_back != exported:
        raise SaveError("The exported model came back from the artifact store with other bytes.")
    return hashlib.sha256(exported).hexdigest()
