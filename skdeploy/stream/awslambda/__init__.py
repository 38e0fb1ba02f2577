"""AWS Lambda: an invocation brings events of Kinesis or Kafka, predictions go to a Kinesis stream.

invocation.py   AWS's documents: an invocation -> events; what was not done -> batchItemFailures
handler.py      Handler: what Lambda calls

An invocation may come again, as a whole or from some event on: when anything was not done, and when
Lambda itself loses track. Predictions are then sent again, with the ids and the bytes that they had the
first time (`skdeploy.stream.process`), by which a reader recognises them.
"""

from skdeploy.stream.awslambda.handler import Handler, open_handler

__all__ = ["Handler", "open_handler"]
