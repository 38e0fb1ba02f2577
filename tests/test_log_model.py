"""skdeploy.log_model and train.py --mlflow where there is no server to log to."""

from __future__ import annotations

import runpy
import sys
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import skdeploy
import train
from examples.flights import plots, tracking
from skdeploy.errors import SaveError
from skdeploy.saving.mlflow import require_server
from tests.stores import enter, lying, refusing_server, silent_server, within

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is known, and no patience either."""
    enter(monkeypatch, {"MLFLOW_DISABLE_TELEMETRY": "true"})
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)


def test_train_says_that_no_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """--mlflow without MLFLOW_TRACKING_URI ends before anything is read, without a traceback."""
    monkeypatch.setattr(sys, "argv", ["train.py", "--mlflow", "--out", "/nonexistent/model.bin"])
    with within(30), pytest.raises(SystemExit, match=r"^train\.py: MLFLOW_TRACKING_URI is not set"):
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


def test_promote_needs_mlflow(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to promote otherwise."""
    with pytest.raises(SystemExit):
        train.main(["--promote"])
    assert "--promote needs --mlflow" in capsys.readouterr().err


def test_a_server_that_refuses_is_named_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is in the message, with the variable that holds it; user and password are not."""
    with refusing_server() as address, within(15):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("://", "://someone:secret@"))
        with pytest.raises(SaveError, match=f"MLFLOW_TRACKING_URI={address} cannot be used") as caught:
            tracking.require()
    assert "secret" not in str(caught.value)


def test_a_server_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts the connection and never answers: half a minute at most, not MLflow's many."""
    with silent_server() as address, within(30):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(SaveError, match="cannot be used"):
            require_server()


def test_the_users_own_patience_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set in the environment is not replaced, and what is not set is not left behind."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with silent_server() as address, within(10):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(SaveError):
            require_server()


def test_without_mlflow_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, regressor_file: Path) -> None:
    """Where mlflow is not installed the error says what to run."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SaveError, match=r"mlflow is not installed: run pip install 'skdeploy\[mlflow\]'"):
        skdeploy.log_model(regressor_file)


def test_a_pickle_without_passport_is_not_logged(tmp_path: Path) -> None:
    """What nothing proves is not registered."""
    joblib.dump(LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]), tmp_path / "bare.bin")
    with pytest.raises(SaveError, match="has no passport"):
        skdeploy.log_model(tmp_path / "bare.bin")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"name": "flights/air"}, "cannot be called 'flights/air'"),
        ({"name": " "}, "cannot be called ' '"),
        ({"alias": "latest"}, "An alias cannot be 'latest'"),
        ({"alias": "v3"}, "An alias cannot be 'v3'"),
        ({"alias": "the champion"}, "An alias cannot be 'the champion'"),
    ],
)
def test_names_that_mlflow_refuses_are_refused_first(
    regressor_file: Path, names: dict[str, str], said: str
) -> None:
    """Before anything is asked of a server."""
    with pytest.raises(SaveError, match=said):
        skdeploy.log_model(regressor_file, **names)  # type: ignore[arg-type]


def test_a_server_of_version_2_is_told_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no logged models."""

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if "experiments/search" in request.path:
            return 200, {}, b'{"experiments": []}'
        return 404, {"Content-Type": "text/html"}, b"<html>404 Not Found</html>"

    with lying(answer) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(SaveError, match="is a server of version 2"):
            require_server()


def test_decimals_are_doubles_to_mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has no decimals: signature and input example say what its own server could pass on."""
    mlflow = pytest.importorskip("mlflow")
    enter(monkeypatch, {"MLFLOW_TRACKING_URI": f"file://{tmp_path}/runs", "MLFLOW_ALLOW_FILE_STORE": "true"})
    prices = [Decimal(cents) / 100 for cents in range(125, 5125, 40)]
    X = pd.DataFrame({"price": pd.Series(prices, dtype=object)})
    y = X["price"].astype(float)
    skdeploy.save(LinearRegression().fit(X, y), X, y, tmp_path / "priced.bin", name="priced")
    logged = skdeploy.log_model(tmp_path / "priced.bin")
    info = mlflow.models.get_model_info(logged.uri)
    assert info.signature.inputs.to_dict() == [{"type": "double", "name": "price", "required": True}]
    assert info.saved_input_example_info is not None


def test_the_importance_of_a_column_is_how_much_worse_it_gets_without() -> None:
    """The one column that the prediction is made of has it all."""
    X = pd.DataFrame({"used": np.arange(200.0), "unused": np.arange(200.0)[::-1] % 7})
    y = 3 * X["used"]
    found = tracking.importances(LinearRegression().fit(X, y), X, y)
    assert found["used"] > 50
    assert abs(found["unused"]) < 1e-6
    bars = plots.importance_bars({"least": -0.001, "most": 2.0}).axes[0]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["most", "least"]
    assert [text.get_text() for text in bars.texts] == ["2.00", "0.00"]


def test_residuals_leave_out_what_is_off_the_scale_and_say_so() -> None:
    """One flight in two thousand was hours off: it does not set the scale."""
    predicted = np.linspace(50, 300, 2000)
    actual = pd.Series(predicted + np.tile([-5.0, 5.0], 1000))
    actual.iloc[7] += 500
    axes = plots.residuals(actual, predicted).axes[0]
    assert "2,000 flights" in axes.get_title()
    assert "1 off the scale" in axes.get_title()
    assert axes.get_ylim()[1] < 50
