"""What a worker's follower tells of the models that it was given."""

from __future__ import annotations

import shutil
from pathlib import Path

import skdeploy
from skdeploy.errors import SettingsError
from skdeploy.model import Model
from skdeploy.source import Source
from skdeploy.watch import Follower, State, Watcher
from tests.following import saved


def test_it_tells_of_each_other_model_whether_it_was_taken(regressor_file: Path, tmp_path: Path) -> None:
    """Nothing of the model that is served anyway, then a refusal, then a success, once each."""
    path = Path(shutil.copy(regressor_file, tmp_path / "served.bin"))
    source, serves = Source(uri=str(path)), skdeploy.load(path)
    state = State(tmp_path / "state", source.uri)
    watcher = Watcher(source, state, engine="sklearn", interval=1, served=(serves.digest, None))
    told: list[bool] = []
    taken: list[Model] = []

    def swap(model: Model) -> None:
        if not told:
            raise SettingsError("ID_FIELD is a column of the model.")
        taken.append(model)

    follower = Follower(source, state, engine="sklearn", serves=serves, swap=swap, told=told.append)
    follower.catch_up()
    assert told == []
    passport = saved(path, 2.0)
    watcher.look()
    for _ in range(3):
        follower.catch_up()
    assert told == [False, True]
    assert [model.passport.version for model in taken] == [passport.version]
