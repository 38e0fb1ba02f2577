"""gunicorn -c web-service/gunicorn.conf.py predict:app: the service as `skdeploy serve` runs it.

gunicorn reads this file before it puts the folder of predict.py on the path.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from skdeploy.gunicorn_conf import *  # noqa: F403 - gunicorn looks for its settings' names here
