"""Settings -> what a job needs: a model, an input, an output."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from skdeploy import source
from skdeploy.batch.chunks import Input, Output
from skdeploy.batch.databases import open_database_input, open_database_output
from skdeploy.batch.files import is_files, open_file_input, open_file_output
from skdeploy.batch.intervals import Calendar
from skdeploy.batch.job import Job
from skdeploy.batch.scoring import ChunkScorer
from skdeploy.config import BatchSettings
from skdeploy.cpus import usable_cpus
from skdeploy.errors import SettingsError
from skdeploy.model import Model
from skdeploy.schema import Schema

_log = logging.getLogger(__name__)

_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A job that is ready, and the calendar of its intervals."""

    job: Job
    calendar: Calendar
    batch: BatchSettings


def open_job(
    environ: Mapping[str, str],
    stop: threading.Event,
    *,
    interval: str | None = None,
    make_tables: bool = True,
    reopened: bool = False,
) -> Opened:
    """Load the model, look at the input, make the output's tables.

    interval      comes before SKDEPLOY_INTERVAL
    make_tables   False where nothing may be changed
    reopened      True for a caller that obeys SKDEPLOY_WATCH_SECONDS by opening the job before each interval

    Raises SettingsError, ModelUnavailable, InputError or OutputError.
    """
    batch = BatchSettings.from_env(environ)
    if not reopened:
        batch.refuse_watching(
            "a run scores all its intervals with the model that it starts with: batch.schedule polls for "
            "another one before each interval"
        )
    kind = interval or batch.interval
    if not kind:
        raise SettingsError("No interval is given: say --interval daily, or set SKDEPLOY_INTERVAL.")
    model = _filed_under(source.load_from_settings(batch))
    records = open_input(batch, model.schema)
    calendar = _calendar(batch, kind, records)
    scorer = ChunkScorer(
        model,
        records.key_types,
        proba=batch.proba,
        strict=batch.strict_categories,
        drift=batch.drift_window > 0,
    )
    output = open_output(batch)
    output.prepare(records.key_types, scorer.predicted, make=make_tables)
    job = Job(
        name=batch.job or model.passport.name,
        input=records,
        output=output,
        model=model,
        scorer=scorer,
        size=batch.chunk_records,
        large=batch.large_interval,
        threads=_threads(model),
        stop=stop,
    )
    return Opened(job=job, calendar=calendar, batch=batch)


def _filed_under(model: Model) -> Model:
    """The model with the digest that the ledger keeps: an unverified export's own, not its pickle's.

    Whoever can write such a file could claim of any intervals that this model has scored them already.
    """
    if model.exported is None or (model.origin is not None and model.origin.verified):
        return model
    _log.warning(
        "The model's file says that it was exported from %s, and its own digest was not known before: its "
        "results are kept under that, %s. Set SKDEPLOY_MODEL_SHA256 to it, and they count as the pickle's.",
        model.digest,
        model.exported,
    )
    return replace(model, digest=model.exported)


def open_input(batch: BatchSettings, schema: Schema) -> Input:
    """Files or a database, as SKDEPLOY_INPUT_URL says."""
    return (open_file_input if is_files(batch.input_url) else open_database_input)(batch, schema)


def open_output(batch: BatchSettings) -> Output:
    """Files or a database, as SKDEPLOY_OUTPUT_URL says."""
    return (open_file_output if is_files(batch.output_url) else open_database_output)(batch)


def _calendar(batch: BatchSettings, kind: str, records: Input) -> Calendar:
    if batch.event_tz is None and records.wall:
        raise SettingsError(
            f"SKDEPLOY_EVENT_TZ is not set, and {batch.time_column} has no time zone: say in which one its "
            "days "
            "begin, such as SKDEPLOY_EVENT_TZ=America/New_York."
        )
    return Calendar(kind, batch.event_tz or _UTC, wall=records.wall)


def _threads(model: Model) -> int:
    """As many as there are CPUs; scikit-learn has threads of its own."""
    return usable_cpus() if model.engine.name == "onnx" else 1
