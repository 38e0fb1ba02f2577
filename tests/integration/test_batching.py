"""Micro-batching as it is served: requests that come together, over real sockets."""

from __future__ import annotations

import json
from pathlib import Path

import skdeploy
from tests import pipelines
from tests.live import load, served

GOOD = json.dumps({"area": 9.0, "rooms": 3.0}).encode()
RAISES = json.dumps({"area": -1.0, "rooms": 3.0}).encode()


def test_a_bad_record_among_concurrent_requests_is_alone_in_that(tmp_path: Path) -> None:
    """While others post a record on which the pipeline raises, every good one gets its usual answer."""
    pipeline, X, y = pipelines.log_of_area()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    settings = {
        "SKDEPLOY_MODEL_URI": str(tmp_path / "model.bin"),
        "SKDEPLOY_ENGINE": "sklearn",
        "WEB_CONCURRENCY": "1",
    }
    with served(tmp_path, **settings) as service:
        expected = service.post(GOOD)
        problem = service.post(RAISES)
        assert (expected[0], problem[0]) == (200, 500)
        with load(service, GOOD, expected[1], keep_alive=True, clients=8) as tally:
            for _ in range(40):
                assert service.post(RAISES) == problem
        assert tally.answered > 50
        assert not tally.lost
        assert service.stop() == 0
