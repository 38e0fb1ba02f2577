"""The session of Spark, what goes to its executors, and what they say when they fail."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import skdeploy
from skdeploy.batch.spark.executor import RECEIPT, Shipped, Work, score_part
from skdeploy.batch.spreading import Receipt
from skdeploy.errors import BatchError, InputError, Interrupted, OutputError, SettingsError
from skdeploy.redacting import redacted

_log = logging.getLogger(__name__)

_PACKAGE = Path(skdeploy.__file__).parent
_JARS = Path(sys.prefix) / "jars"
# Of executors. The database's driver reads timestamps by its machine's clock, which may skip an hour; and
# a task has one CPU.
_ENVIRONMENT = {"TZ": "UTC", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_SQL = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",
    # Folders are whole numbers or texts to the job on one machine, and never dates.
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
}
# What an executor, or the database's driver in it, says, somewhere in a long report.
_OURS = re.compile(r"skdeploy\.errors\.(\w+): (.+)")
_DATABASE = re.compile(r"org\.postgresql\.util\.PSQLException: (.+)")
_NO_DRIVER = re.compile(r"ClassNotFoundException: org\.postgresql\.Driver")
_LACKS = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_KINDS = {"InputError": InputError, "OutputError": OutputError}


class Cluster:
    """A session that begins when it is first needed.

    master   a URL; empty: what spark-submit or Spark's own configuration says
    name     for Spark's own pages
    content  the model's file
    stop     set from outside when the job is to end

    Raises SettingsError if pyspark is not there.
    """

    def __init__(
        self, master: str, name: str, shipped: Shipped, content: bytes, stop: threading.Event
    ) -> None:
        if importlib.util.find_spec("pyspark") is None:
            raise SettingsError(
                "pyspark is not installed: run make .venv-spark/done and use its python, or pip install "
                "pyspark."
            )
        self.shipped = shipped
        self._master = master
        self._name = name
        self._content = content
        self._stop = stop
        self._session: Any = None
        self._files = contextlib.ExitStack()

    @property
    def session(self) -> Any:
        """Spark's session. Raises BatchError."""
        if self._session is None:
            self._session = self._begin()
        return self._session

    def close(self) -> None:
        """End the session, if it has begun."""
        if self._session is not None:
            self._session.stop()
        self._files.close()

    def score(self, frame: Any, work: Work, what: str) -> list[Receipt]:
        """Score every partition of a DataFrame; one receipt for each. Raises BatchError."""

        def score_batches(batches: Iterator[Any]) -> Iterator[Any]:
            return score_part(work, batches)

        receipts = frame.mapInArrow(score_batches, f"{RECEIPT} string")
        with self.told(what):
            return [Receipt.from_text(row[RECEIPT]) for row in receipts.collect()]

    @contextlib.contextmanager
    def told(self, what: str) -> Iterator[None]:
        """What Spark and its executors say, as BatchError; Interrupted if the job was told to stop.

        what   is being done, for Spark's pages
        """
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        context = self.session.sparkContext
        group = f"skdeploy {what}"
        context.setJobGroup(group, what, interruptOnCancel=True)
        left = threading.Event()
        watcher = threading.Thread(target=self._cancel, args=(context, group, left), daemon=True)
        watcher.start()
        try:
            yield
        except (Py4JError, PySparkException) as error:
            if self._stop.is_set():
                raise Interrupted(f"Told to stop while scoring {what}.") from None
            raise told_by(error, what) from error
        finally:
            left.set()
            watcher.join()

    def _cancel(self, context: Any, group: str, left: threading.Event) -> None:
        while not left.is_set():
            if self._stop.wait(0.2):
                with contextlib.suppress(Exception):  # a session that is ending need not be cancelled
                    context.cancelJobGroup(group)
                left.wait(1)

    def _begin(self) -> Any:
        from pyspark.sql import SparkSession

        # Executors take the first python3 on their path where nothing is said.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        # Nothing here goes through pandas.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        builder = SparkSession.builder.appName(self._name)
        if self._master:
            builder = builder.master(self._master)
        for name, value in _settings().items():
            builder = builder.config(name, value)
        with _keeping_signals():
            session = builder.getOrCreate()
        for name, value in _SQL.items():
            session.conf.set(name, value)
        self._ship(session.sparkContext)
        return session

    def _ship(self, context: Any) -> None:
        """Send the model and this package to every executor, once."""
        # As in the executors; with the master local[*] this is the one JVM.
        utc = context._jvm.java.util.TimeZone.getTimeZone("UTC")
        context._jvm.java.util.TimeZone.setDefault(utc)
        folder = Path(self._files.enter_context(tempfile.TemporaryDirectory(prefix="skdeploy-")))
        model = folder / self.shipped.file
        model.write_bytes(self._content)
        context.addFile(str(model))
        if _PACKAGE.is_dir():  # else it came by spark-submit --py-files, and is there already
            context.addPyFile(str(package_zip(folder)))


def package_zip(folder: Path) -> Path:
    """The package's modules, as `--py-files` takes them."""
    path = folder / "skdeploy.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(_PACKAGE.rglob("*.py")):
            archive.write(file, file.relative_to(_PACKAGE.parent))
    return path


def told_by(error: Exception, what: str) -> BatchError:
    """A report of Spark's, whose many lines go to the log at debug level, as one sentence."""
    text = str(error)
    _log.debug("Spark said of %s: %s", what, text)
    if _NO_DRIVER.search(text):
        return InputError(
            "Spark has no JDBC driver for PostgreSQL: run make .venv-spark/jars/postgresql.jar, or give "
            "spark-submit --packages org.postgresql:postgresql:42.7.8."
        )
    if ours := _OURS.search(text):
        return _KINDS.get(ours[1], BatchError)(ours[2].strip())
    if database := _DATABASE.search(text):
        return InputError(f"Reading the input failed: {redacted(database[1].strip())}")
    if lacks := _LACKS.search(text):
        return BatchError(
            f"An executor's Python has no {lacks[1]}: let PYSPARK_PYTHON name one, on all machines, that has "
            "the packages of this one."
        )
    first = text.strip().splitlines() or [""]
    return BatchError(
        f"Spark gave up on {what} ({type(error).__name__}: {redacted(first[0][:200])}); its logs say why."
    )


def _settings() -> dict[str, str]:
    """What a session is begun with; what the user gave to spark-submit is kept."""
    from pyspark import SparkConf, SparkContext

    if "PYSPARK_GATEWAY_PORT" in os.environ:
        # spark-submit has begun this process; only the JVM knows what it was given.
        SparkContext._ensure_initialized()
    given = SparkConf()
    settings = {**_SQL, "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower()}
    settings |= {f"spark.executorEnv.{name}": value for name, value in _ENVIRONMENT.items()}
    jars = ",".join(str(path) for path in sorted(_JARS.glob("*.jar")))
    if jars and not given.get("spark.jars", ""):
        settings["spark.jars"] = jars
    return settings


@contextlib.contextmanager
def _keeping_signals() -> Iterator[None]:
    """Pyspark answers to Ctrl-C itself; the job's own answer ends it cleanly."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
