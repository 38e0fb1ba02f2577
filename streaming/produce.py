"""Send the flights as events: `python -m streaming.produce --topic flights --rate 500 --bad 0.01`."""

from __future__ import annotations

import os
import sys

from examples.flights.produce import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
