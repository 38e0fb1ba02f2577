"""Where a model comes from: a URI -> a verified file's bytes -> a model.

load.py       resolve, fetch, load: what everybody calls
place.py      a URI's parts, and what goes with it
target.py     what a URI points to, and what came from there
files.py      a path
s3.py         an object in S3, or the model file of an MLflow folder there
registry.py   an MLflow registry or run
conditions.py   what an answer or a failure means: an answer or an outage, and the remedy
download.py   a download that is bounded in time
cache.py      the last good models, on disk

boto3, mlflow and skops are imported where they are used: a path needs none of them.
"""

from skdeploy.source.cache import Record
from skdeploy.source.load import (
    address,
    build,
    confirm,
    distrust,
    fetch,
    load,
    load_from,
    load_from_settings,
    originating,
    recalled,
    record_of,
    remember,
    resolve,
)
from skdeploy.source.place import Source
from skdeploy.source.target import Fetched, Target

__all__ = [
    "Fetched",
    "Record",
    "Source",
    "Target",
    "address",
    "build",
    "confirm",
    "distrust",
    "fetch",
    "load",
    "load_from",
    "load_from_settings",
    "originating",
    "recalled",
    "record_of",
    "remember",
    "resolve",
]
