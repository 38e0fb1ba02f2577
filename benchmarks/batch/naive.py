"""Score a table as people write it: pandas reads chunks, the pipeline predicts, pandas appends.

python -m benchmarks.batch.naive URL TABLE     prints the seconds of the loop
"""

from __future__ import annotations

import sys
import time

import joblib
import pandas as pd
import sqlalchemy as sa

CHUNK = 10_000
OUTPUT = "naive_predictions"


def main(url: str, table: str) -> None:
    """Read, predict, write, and again."""
    pipeline = joblib.load("model.bin")
    columns = list(pipeline.feature_names_in_)
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    query = f"SELECT flight_id, {', '.join(columns)} FROM {table}"  # noqa: S608 (the benchmark's own)
    began = time.perf_counter()
    with engine.connect().execution_options(stream_results=True) as connection:
        for frame in pd.read_sql(sa.text(query), connection, chunksize=CHUNK):
            frame["prediction"] = pipeline.predict(frame[columns])
            frame[["flight_id", "prediction"]].to_sql(OUTPUT, engine, if_exists="append", index=False)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
