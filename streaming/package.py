"""`make lambda-zip`: the model that SKDEPLOY_MODEL_URI names, as a zip for AWS Lambda."""

from __future__ import annotations

import os
import sys

from skdeploy.packaging import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
