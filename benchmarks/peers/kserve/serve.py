"""KServe: its scikit-learn server, which is no package of its own, around the package's own protocol code."""

from __future__ import annotations

import os
import socket
from typing import Any

import joblib
from kserve import Model, ModelServer
from kserve.protocol.rest.server import RESTServer
from kserve.utils.utils import get_predict_input, get_predict_response


class SKLearnModel(Model):
    """What KServe's scikit-learn server does with a request."""

    def __init__(self, name: str) -> None:
        """Load it."""
        super().__init__(name)
        self.pipeline = joblib.load(os.environ["MODEL"])
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """A v1 or v2 request -> the response of the same protocol."""
        return get_predict_response(payload, self.pipeline.predict(get_predict_input(payload)), self.name)


if __name__ == "__main__":
    server = ModelServer(enable_grpc=False)
    server.register_model(SKLearnModel("flights"))
    rest = RESTServer(
        "kserve.model_server:app", server.dataplane, server.model_repository_extension, server.http_port
    )
    # ModelServer.start() listens on every address, and has no setting for it.
    rest.run(sockets=[socket.create_server(("127.0.0.1", int(os.environ["PORT"])))])
