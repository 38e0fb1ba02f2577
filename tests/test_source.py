from __future__ import annotations

import hashlib
import logging
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest

import skdeploy
from skdeploy.config import WebSettings
from skdeploy.errors import DigestMismatch, ModelUnavailable, SettingsError, SourceError, UnreadableModel
from skdeploy.source import Source, fetch, resolve
from skdeploy.source.place import LocalFile, Place, RegisteredModel, RunModel, S3Object
from skdeploy.source.target import quiet_transport, required

ROOT = Path(__file__).parent.parent


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_wrong_digest_is_refused_before_unpickling(tmp_path: Path) -> None:
    """Nothing of the file runs if its SHA-256 is another; with the right one it does."""
    fuse = tmp_path / "exploded"
    path = tmp_path / "model.bin"
    path.write_bytes(pickle.dumps(Bomb(fuse)))
    with pytest.raises(DigestMismatch, match="0" * 64):
        skdeploy.load(path, "0" * 64)
    assert not fuse.exists()
    with pytest.raises(UnreadableModel):
        skdeploy.load(path, hashlib.sha256(path.read_bytes()).hexdigest().upper())
    assert fuse.exists()


def test_the_right_digest_is_told(regressor_file: Path) -> None:
    """The model knows the digest of the file that it came from."""
    digest = hashlib.sha256(regressor_file.read_bytes()).hexdigest()
    assert skdeploy.load(regressor_file, digest).digest == digest


def test_a_file_uri_is_a_path(regressor_file: Path) -> None:
    """file:// works; other schemes are named as a wrong setting."""
    assert skdeploy.load(regressor_file.as_uri()).passport.name == "tree"
    with pytest.raises(SettingsError, match="gopher"):
        skdeploy.load("gopher://models/1")


def test_a_missing_or_unreadable_file_is_said_to_be(tmp_path: Path) -> None:
    """The message names the path and what to do."""
    with pytest.raises(ModelUnavailable, match=r"no model at .*none\.bin"):
        skdeploy.load(tmp_path / "none.bin")
    with pytest.raises(ModelUnavailable, match="is a folder"):
        skdeploy.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x05."])
def test_what_is_no_pickle_is_said_to_be(content: bytes, tmp_path: Path) -> None:
    """Damaged files do not end in a traceback of pickle's."""
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(UnreadableModel, match="cannot be unpickled"):
        skdeploy.load(tmp_path / "model.bin")


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    """A dict is no pipeline."""
    joblib.dump({"a": 1}, tmp_path / "model.bin")
    with pytest.raises(UnreadableModel, match="holds a dict"):
        skdeploy.load(tmp_path / "model.bin")


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    """The user's own package must be there; the message says which."""
    (tmp_path / "model.bin").write_bytes(b"cmy_transformers.deep\nScaler\n.")
    with pytest.raises(UnreadableModel, match="needs the module 'my_transformers'"):
        skdeploy.load(tmp_path / "model.bin")


def test_a_class_of_the_training_script_is_explained(tmp_path: Path) -> None:
    """What was defined in __main__ of another process cannot be had here."""
    (tmp_path / "model.bin").write_bytes(b"c__main__\nMyScaler\n.")
    with pytest.raises(UnreadableModel, match="move it to a module"):
        skdeploy.load(tmp_path / "model.bin")


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("model.bin", LocalFile(Path("model.bin"))),
        ("/a/b@c.bin", LocalFile(Path("/a/b@c.bin"))),
        ("file:///a/b%20c.bin", LocalFile(Path("/a/b c.bin"))),
        ("s3://bucket/a/b.bin", S3Object("bucket", "a/b.bin")),
        ("s3://bucket/folder/", S3Object("bucket", "folder/")),
        ("models:/flight air time@champion", RegisteredModel("flight air time", alias="champion")),
        ("models:/tree/12", RegisteredModel("tree", version="12")),
        ("runs:/0a1b/model", RunModel("0a1b", "model")),
        ("runs:/0a1b/some/model/", RunModel("0a1b", "some/model")),
    ],
)
def test_a_uri_has_its_parts(uri: str, place: Place) -> None:
    """Each form that the settings' table names is understood."""
    assert Source(uri=uri).place == place


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket",
        "s3://bucket/",
        "s3:/b/k",
        "models:/tree",
        "models:/@a",
        "runs:/0a1b",
    ],
)
def test_half_a_uri_is_a_wrong_setting(uri: str) -> None:
    """What lacks a part is no path to a file of that name, and the message shows the forms."""
    with pytest.raises(SettingsError, match="models:/name@alias"):
        Source(uri=uri)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("gs://bucket/model.bin", "Google Cloud Storage"),
        ("gs:/bucket/model.bin", "Google Cloud Storage"),
        ("wasbs://container@account/m.bin", "Azure"),
        ("dbfs:/models/m.bin", "copy the file"),
        ("hdfs://host/m.bin", "copy the file"),
        ("mlflow-artifacts:/1/artifacts/model", "runs:/RUN_ID/model"),
        ("https://host/model.bin", "download the file"),
        ("s3://arn:aws:s3:us-east-1:1:accesspoint/name/m.bin", "access point by its alias"),
        ("arn:aws:s3:::bucket/m.bin", "is an ARN"),
        ("models:/m-0123abcd", "logged model"),
        ("models:/tree/Production", "names a stage"),
        ("models:/tree/latest", "names the latest version"),
        ("models:/tree@latest", "names the latest version"),
    ],
)
def test_what_people_give_is_named_with_its_remedy(uri: str, said: str) -> None:
    """Other stores, artifacts, stages and ARNs: each says what to give in its place."""
    with pytest.raises(SettingsError, match=said):
        Source(uri=uri)


def test_credentials_in_a_uri_are_refused_and_not_shown() -> None:
    """They would end up in logs; the message says where they belong."""
    with pytest.raises(
        SettingsError, match=r"SKDEPLOY_MODEL_URI='s3://bucket/m.bin'.*AWS_ACCESS_KEY_ID"
    ) as caught:
        Source(uri="s3://AKIA4711:geheim4711@bucket/m.bin")
    assert "4711" not in str(caught.value)


def test_the_settings_make_a_source() -> None:
    """Each setting of a source arrives there."""
    source = Source.from_settings(
        WebSettings.from_env(
            {
                "SKDEPLOY_MODEL_URI": "models:/tree/3",
                "SKDEPLOY_MODEL_SHA256": "AB" * 32,
                "SKDEPLOY_MODEL_CACHE": "/var/cache",
                "SKDEPLOY_ALLOW_UNVERIFIED": "1",
                "SKDEPLOY_SKOPS_TRUSTED": "numpy.dtype, a.B",
            }
        )
    )
    assert source == Source(
        uri="models:/tree/3",
        sha256="ab" * 32,
        cache=Path("/var/cache"),
        allow_unverified=True,
        trusted=("numpy.dtype", "a.B"),
    )


def test_a_file_that_changed_has_another_token(regressor_file: Path, tmp_path: Path) -> None:
    """resolve tells a file that took another's place, even if it has the same size and time."""
    path = tmp_path / "model.bin"
    path.write_bytes(regressor_file.read_bytes())
    source = Source(uri=str(path))
    before = resolve(source).token
    assert resolve(source).token == before
    (tmp_path / "new").write_bytes(regressor_file.read_bytes())
    shutil.copystat(path, tmp_path / "new")
    (tmp_path / "new").replace(path)
    assert resolve(source).token != before
    assert fetch(source).digest == hashlib.sha256(regressor_file.read_bytes()).hexdigest()


def test_a_missing_package_is_named_with_its_remedy() -> None:
    """What brings it is said; a package that is there and broken is another error."""
    with pytest.raises(SourceError, match=r"pip install 'skdeploy\[mlflow\]'"):
        required("no_such_module.deep", "boto3")


def test_a_model_says_where_it_came_from(regressor_file: Path) -> None:
    """A file's model has its path for origin, and came from no cache."""
    origin = skdeploy.load(regressor_file).origin
    assert origin is not None
    assert (origin.uri, origin.version, origin.from_cache) == (str(regressor_file), None, None)


@pytest.fixture
def transport() -> Iterator[logging.Logger]:
    """urllib3's logger with no level of its own, and the root's as it was afterwards."""
    root, logger = logging.getLogger(), logging.getLogger("urllib3")
    before = root.level
    logger.setLevel(logging.NOTSET)
    yield logger
    root.setLevel(before)
    logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("root", "silent", "heard"),
    [(logging.DEBUG, logging.DEBUG, logging.INFO), (logging.ERROR, logging.WARNING, logging.ERROR)],
)
def test_what_is_sent_is_never_logged(transport: logging.Logger, root: int, silent: int, heard: int) -> None:
    """SKDEPLOY_LOG_LEVEL=debug does not reach libraries whose debugging holds secrets; others are obeyed."""
    logging.getLogger().setLevel(root)
    quiet_transport()
    assert not transport.isEnabledFor(silent)
    assert transport.isEnabledFor(heard)


def test_a_path_needs_no_client_of_a_store(regressor_file: Path) -> None:
    """Loading a file imports neither boto3 nor mlflow nor skops."""
    code = (
        f"import sys, skdeploy; skdeploy.load({str(regressor_file)!r}, engine='sklearn')\n"
        "print(sorted({'boto3', 'botocore', 'mlflow', 'skops'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
