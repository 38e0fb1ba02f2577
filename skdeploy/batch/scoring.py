from __future__ import annotations

import json

import pyarrow as pa

from skdeploy.batch.chunks import *
from skdeploy.schema import RecordReader


class Scorer:
    def __init__(self, model, keys, *, proba, strict):
        self.model = model
        self.keys = keys
        self.reader = RecordReader(model.schema, strict=strict)
        self.predicted = pa.schema([("prediction", pa.float64())])

    def score(self, chunk):
        cols = {n: (c if isinstance(c, list) else c.to_pylist()) for n, c in chunk.columns.items()}
        names = self.model.schema.names
        recs = [{n: cols[n][i] for n in names} for i in range(chunk.count)]
        ch = self.reader.read(recs)
        p = self.model.predict(ch.table)
        t = {k: pa.array([cols[k][i] for i in ch.positions], ty) for k, ty in self.keys.items()}
        t["prediction"] = pa.array(p.values, pa.float64())
        rej = [
            Reject(json.dumps({k: cols[k][i] for k in self.keys}), b.column, b.expected, b.got)
            for i, bs in ch.bad.items()
            for b in bs
        ]
        return Scored(pa.table(t), rej, len(ch.bad), tuple(cols[k][-1] for k in self.keys))
