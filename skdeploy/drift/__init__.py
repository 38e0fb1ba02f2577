"""Whether the records that come are like those that the model was fitted on.

    sketch.py     Sketch, Bins: what the passport keeps of training data
    learning.py   training records and their predictions -> a sketch
    binning.py    a column's cells -> how many are in each bin
    meter.py      a table and its predictions -> counts of all bins; Tally: the sum of many
    window.py     what a process has seen lately, at next to no cost where requests are answered
    psi.py        counts beside the sketch -> the population stability index, shares of nulls and of unseen
    gauges.py     the same for Prometheus

Bin edges and values are data about training data: they leave by no door.
"""

from skdeploy.drift.meter import Meter, Tally
from skdeploy.drift.psi import Drifted, drifted, psi
from skdeploy.drift.sketch import PREDICTION, Bins, Sketch
from skdeploy.drift.window import Window

__all__ = ["PREDICTION", "Bins", "Drifted", "Meter", "Sketch", "Tally", "Window", "drifted", "psi"]
