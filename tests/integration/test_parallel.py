"""Pipelines with `n_jobs` as they are served: workers are forked from the process that loads the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.live import children, served, wait_until
from tests.parallel import PARALLEL, RECORD, save

BODY = json.dumps(RECORD).encode()


@pytest.mark.parametrize("engine", ["auto", "sklearn"])
@pytest.mark.parametrize("kind", PARALLEL)
def test_a_pipeline_with_n_jobs_is_served(kind: str, engine: str, tmp_path: Path) -> None:
    """Both workers answer, and neither they nor the main process start another process."""
    save(kind, tmp_path / "model.bin")
    settings = {
        "SKDEPLOY_MODEL_URI": str(tmp_path / "model.bin"),
        "SKDEPLOY_ENGINE": engine,
        "WEB_CONCURRENCY": "2",
    }
    with served(tmp_path, **settings) as service:
        assert len(children(service.pid)) == 2
        answered: set[int] = set()

        def both_answered() -> bool:
            assert service.post(BODY)[0] == 200
            assert service.get("/ready")[0] == 200
            answered.update(pid for pid in service.workers() if _cpu_ticks(pid) > started[pid])
            return len(answered) == 2

        started = {pid: _cpu_ticks(pid) for pid in service.workers()}
        wait_until(both_answered, "both workers have worked")
        assert [children(pid) for pid in service.workers()] == [[], []]
        assert service.stop() == 0


def _cpu_ticks(pid: int) -> int:
    """The CPU time that a process had, in the kernel's ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
