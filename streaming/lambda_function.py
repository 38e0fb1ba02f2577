"""A Lambda function of Kinesis or Kafka events: `streaming.lambda_function.handler`.

The model is loaded when the container starts, in its initialisation.
"""

from __future__ import annotations

import logging
import os

from skdeploy.config import LogSettings
from skdeploy.stream.awslambda import open_handler

# Lambda's runtime has given the root logger a handler of its own.
logging.getLogger().setLevel(LogSettings.from_env(os.environ).log_level.upper())

handler = open_handler(os.environ)
