"""What a consumer imports, before consumers are forked: most of the time of a start would be imports."""

from __future__ import annotations

import os

# Its thread would not outlive the fork, and who waits for it at the end would hang.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import confluent_kafka  # noqa: F401
import pandas as pd  # noqa: F401
import prometheus_client  # noqa: F401
import pytest  # noqa: F401 (each child looks at what the tests' main module was)
import sklearn.compose
import sklearn.impute
import sklearn.linear_model
import sklearn.preprocessing  # noqa: F401

import skdeploy.source
import skdeploy.stream  # noqa: F401
