"""Another model is served without a restart.

poller.py      one process per service: polls the source, fetches and proves a new model, publishes it
published.py   the folder that a service's processes share
swap.py        in every worker: loads what was published, and puts it in the place of the old model
control.py     what the web door shows of it, and how it asks for a poll at once
process.py     starts the poller's process, and restarts it if it dies
"""

from skdeploy.reload.control import Control, follows_source
from skdeploy.reload.poller import SourcePoller
from skdeploy.reload.published import PublishedState
from skdeploy.reload.swap import ModelSwap

__all__ = ["Control", "ModelSwap", "PublishedState", "SourcePoller", "follows_source"]
