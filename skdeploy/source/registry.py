"""A model of an MLflow registry, or of a run. Addresses and credentials are MLflow's own affair."""

from __future__ import annotations

import contextlib
import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from skdeploy.errors import SourceError, SourceUnreachable
from skdeploy.mlflow_variables import DIGEST_TAG, EXPORTED_TAG, unless_set
from skdeploy.redacting import is_clear, shown
from skdeploy.source import conditions, files, s3
from skdeploy.source.download import Download
from skdeploy.source.place import RegisteredModel, RunModel, S3Object
from skdeploy.source.target import Target, model_files, quiet_transport, required, sha256_of, takes_exported

# What the registry itself says of a name, an alias, a version or a run that it does not have.
_MISSING = ("INVALID_PARAMETER_VALUE", "NOT_FOUND", "RESOURCE_DOES_NOT_EXIST")


def resolve(place: RegisteredModel | RunModel, timeout: float) -> Target:
    """The version that the registry names now, or the run's model; no artifact is read.

    Raises SourceError.
    """
    with _client(timeout) as client:
        if isinstance(place, RunModel):
            location = _location(client, place)
            where, name = f"runs:/{place.run}/{place.path}", place.path.rpartition("/")[2]
            return Target(location, where, name, lambda: _read(location, where, timeout))
        version = _version(client, place)
        location = client.get_model_version_download_uri(place.name, version.version)
    tag = EXPORTED_TAG if takes_exported() and EXPORTED_TAG in version.tags else DIGEST_TAG
    where = f"models:/{place.name}/{version.version}"
    digest = sha256_of(version.tags.get(tag), f"the tag {tag} of {where}")
    return Target(
        token=f"{version.version} {digest or version.last_updated_timestamp}",
        where=where,
        name=place.name,
        read=lambda: _read(location, where, timeout),
        digest=digest,
        authority=f"the version's tag {tag}",
        version=str(version.version),
    )


def server() -> str:
    """Which tracking server, registry and workspace answer here, without credentials. Raises SourceError."""
    mlflow = required("mlflow", "mlflow-skinny")
    workspace = required("mlflow.environment_variables", "mlflow-skinny").MLFLOW_WORKSPACE.get()
    tracking, registry = (shown(uri) for uri in (mlflow.get_tracking_uri(), mlflow.get_registry_uri()))
    return " ".join(
        [tracking, *([registry] if registry != tracking else []), *([workspace] if workspace else [])]
    )


def _version(client: Any, place: RegisteredModel) -> Any:
    from mlflow.exceptions import RestException

    try:
        if place.alias:
            version = client.get_model_version_by_alias(place.name, place.alias)
        else:
            version = client.get_model_version(place.name, place.version)
        if version.name != place.name or not str(version.version).isdigit():
            raise _NotARegistry("an answer without the registered version")
        return version
    except RestException as error:
        if error.error_code not in _MISSING:
            raise
    registered = _registered(client, place.name)
    if place.alias:
        there = ", ".join(sorted(registered.aliases)) or "none"
        raise SourceError(
            "alias",
            f"The registered model {place.name} has no alias {place.alias} (it has: {there}).",
            "Give a version this alias (train.py --promote, or MLflow's page), or correct "
            "SKDEPLOY_MODEL_URI.",
        )
    raise SourceError(
        "version",
        f"The registered model {place.name} has no version {place.version}.",
        "Correct SKDEPLOY_MODEL_URI.",
    )


def _registered(client: Any, name: str) -> Any:
    from mlflow.exceptions import RestException

    try:
        return client.get_registered_model(name)
    except RestException as error:
        if error.error_code not in _MISSING:
            raise
    raise SourceError(
        "registered model",
        f"There is no registered model {name} at {_tracking_uri()}.",
        "Register one (train.py --mlflow), or correct SKDEPLOY_MODEL_URI or MLFLOW_TRACKING_URI.",
    )


def _location(client: Any, place: RunModel) -> str:
    """Where a run's model is: MLflow 3 keeps models beside runs, older ones are among the artifacts."""
    from mlflow.exceptions import RestException

    try:
        run = client.get_run(place.run)
    except RestException as error:
        if error.error_code not in _MISSING:
            raise
        raise SourceError(
            "run", f"There is no run {place.run} at {_tracking_uri()}.", "Correct SKDEPLOY_MODEL_URI."
        ) from None
    found = []
    for output in run.outputs.model_outputs if run.outputs else ():
        try:
            model = client.get_logged_model(output.model_id)
        except RestException as error:
            if error.error_code not in _MISSING:
                raise
            continue  # it was deleted
        if model.name == place.path and model.status != "DELETED":
            found.append((output.step, model.creation_timestamp, str(model.artifact_location)))
    # Of several with one name the last, as MLflow takes it.
    return max(found)[-1] if found else f"{run.info.artifact_uri}/{place.path}"


def _read(location: str, where: str, timeout: float) -> bytes:
    """The model file in the folder at `location`, by whatever protocol that is."""
    if match := re.fullmatch(r"s3://([^/]+)/(.+)", location):
        return s3.resolve(S3Object(match[1], f"{match[2]}/"), timeout, _s3_endpoint()).read()
    if location.startswith(("/", "file:")):
        folder = Path(unquote(urlsplit(location).path))
        present = [folder / name for name in model_files() if (folder / name).exists()]
        if not present:
            raise SourceUnreachable(
                "artifact",
                f"The artifacts of {where} are in {folder}, on the tracking server's own disk, and no model "
                "is there on this machine.",
                "Start the server with --serve-artifacts, or with artifacts in S3, and log the model again; "
                "or mount that folder here.",
            )
        return files.resolve(present[0]).read()
    with _client(timeout), tempfile.TemporaryDirectory() as name:
        return Download(where).into(Path(name), lambda: _download(location, where, name))


def _download(location: str, where: str, folder: str) -> str:
    import mlflow.artifacts

    found = mlflow.artifacts.list_artifacts(artifact_uri=location)
    names = [entry.path.rpartition("/")[2] for entry in found or ()]
    for file in model_files():
        if file in names:
            return str(
                mlflow.artifacts.download_artifacts(artifact_uri=f"{location}/{file}", dst_path=folder)
            )
    raise SourceError(
        "artifact",
        f"{where} holds none of {', '.join(model_files())} (it holds: {', '.join(names) or 'nothing'}).",
        "Log a scikit-learn model there (mlflow.sklearn.log_model), or correct SKDEPLOY_MODEL_URI.",
    )


def _s3_endpoint() -> str | None:
    variables = required("mlflow.environment_variables", "mlflow-skinny")
    endpoint: str | None = variables.MLFLOW_S3_ENDPOINT_URL.get()
    return endpoint


def _tracking_uri() -> str:
    from mlflow import get_tracking_uri

    return shown(get_tracking_uri())


class _NotARegistry(Exception):
    """An answer that no MLflow server gives."""


@contextlib.contextmanager
def _client(timeout: float) -> Iterator[Any]:
    """A client that gives up soon, and whose errors become SourceErrors that say which part is wrong."""
    mlflow = required("mlflow", "mlflow-skinny")
    if not mlflow.is_tracking_uri_set() or not mlflow.get_tracking_uri().startswith(("http:", "https:")):
        raise SourceError(
            "tracking URI",
            "MLFLOW_TRACKING_URI is not the address of a tracking server.",
            "Set it, such as http://mlflow.example:5000.",
        )
    quiet_transport()
    with unless_set(_patience(timeout)):
        try:
            yield mlflow.MlflowClient()
        except SourceError:
            raise
        except Exception as error:  # answers of other servers, and clients of stores, end in any exception
            raise _explained(error) from None


def _patience(timeout: float) -> dict[str, object]:
    """By default MLflow waits over 150 seconds for a server that does not answer."""
    return {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": math.ceil(timeout),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 1,
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": False,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": False,
        # A server that passes artifacts on would send us to the store all the same, with a signed address.
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": False,
    }


def _explained(error: Exception) -> SourceError:
    """What an exception of MLflow's, or below it, means."""
    from mlflow import get_tracking_uri

    # Of a password that is not escaped, parts may stand anywhere in a text.
    text = f": {getattr(error, 'error_code', '')} {error}" if is_clear(get_tracking_uri()) else ""
    said = f"{type(error).__name__.lstrip('_')}{text}"
    return conditions.error_of(conditions.MLFLOW, said, f"The tracking server at {_tracking_uri()}")
