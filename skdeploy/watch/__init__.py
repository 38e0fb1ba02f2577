"""Following a source: another model is served without a restart.

state.py      the folder that a service's processes share
watcher.py    one process: looks at the source, fetches and proves, publishes
follower.py   in every worker: loads what was published, and swaps it in
control.py    what the web door shows and asks: status, and to look now
process.py    starting the watcher's process, and starting it again
"""

from skdeploy.watch.control import Control, is_watched
from skdeploy.watch.follower import Follower
from skdeploy.watch.state import State
from skdeploy.watch.watcher import Watcher

__all__ = ["Control", "Follower", "State", "Watcher", "is_watched"]
