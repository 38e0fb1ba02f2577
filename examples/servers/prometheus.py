"""A Prometheus that scrapes what it is told to, once a second, and answers queries."""

from __future__ import annotations

import contextlib
import json
import os
import urllib.parse
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.servers.process import Process, answers, free_ports, program


class Prometheus:
    """One that runs, on a port of 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **query: str) -> Any:
        """What its API answers."""
        address = f"{self._url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - of this machine
            return json.load(answer)["data"]

    def ask(self, query: str) -> list[Any]:
        """The samples that a query finds now."""
        found: list[Any] = self.get("/api/v1/query", query=query)["result"]
        return found

    def number(self, query: str) -> float:
        """The value of the one sample that a query finds; not a number if there is none."""
        found = self.ask(query)
        return float(found[0]["value"][1]) if found else float("nan")


@contextlib.contextmanager
def prometheus(folder: Path, targets: Mapping[str, int], rules: Sequence[Path] = ()) -> Generator[Prometheus]:
    """A Prometheus with its data in `folder`. ServerNotInstalled if there is none.

    targets   job -> port of 127.0.0.1
    """
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for job, port in targets.items()
    ]
    configuration = {"global": every, "rule_files": [*map(str, rules)], "scrape_configs": jobs}
    [port] = free_ports(1)
    (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
    command = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    environment = {"PATH": os.environ.get("PATH", "")}
    log = folder / "prometheus.log"
    server = Process("prometheus", command, environment, log, lambda: answers(port, "/-/ready"))
    server.start()
    try:
        yield Prometheus(port)
    finally:
        server.stop()
