"""The table of routes is what the application has."""

from __future__ import annotations

from pathlib import Path

import pytest

from skdeploy.config import WebSettings
from skdeploy.model import Model
from skdeploy.reload import Control
from skdeploy.web import create_app
from skdeploy.web.routes import OTHER, ROUTES, STATIC, route_of


def test_the_application_has_the_routes_of_the_table(regressor: Model, tmp_path: Path) -> None:
    """Each with its methods, and no other."""
    settings = WebSettings.from_env({"SKDEPLOY_STATE_DIR": str(tmp_path), "SKDEPLOY_ADMIN_TOKEN": "a" * 32})
    app = create_app(regressor, settings, Control.from_settings(settings))
    found = {rule.rule: (rule.methods or set()) - {"OPTIONS"} for rule in app.url_map.iter_rules()}
    assert found == {route.path: {*route.methods} for route in ROUTES}


@pytest.mark.parametrize("path", ["/static/", "/static/a/b", "/predict/", "/Predict", "", "(other)"])
def test_what_is_no_route_is_other(path: str) -> None:
    """Whatever callers invent."""
    assert route_of(path) is OTHER


def test_paths_may_have_parameters() -> None:
    """The label of such a route names the parameter, not what a caller wrote."""
    assert route_of("/static/style.css") is STATIC
    assert {route_of(route.path) for route in ROUTES} == {*ROUTES}
