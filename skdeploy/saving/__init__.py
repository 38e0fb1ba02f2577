"""A fitted pipeline and its training data -> model.bin, with its passport inside, proved.

save.py       save(pipeline, X, y, path)
examine.py    what trying the pipeline shows
rows.py       which training rows become golden records
pickling.py   refusing what no other process could load
report.py     what was decided, as a table; what is being done
mlflow.py     log_model(path): the saved file -> an MLflow run, a registered version with its digest
"""

from skdeploy.saving.mlflow import log_model
from skdeploy.saving.save import save

__all__ = ["log_model", "save"]
