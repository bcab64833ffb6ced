"""MLflow: a run for each study, trial and seed, written by one process beside the driver.

writer, process     an observer that hands records to the process; store: what is written of a search
confirming          what is written of a confirmation; retrainings: of a retraining
client, runs        the tags by which runs are found again, and their names
models, serving     models in MLflow's registry
view, front         the view with which MLflow opens a study, and the front in its descriptions
dashboard           MLflow's own server, on loopback
"""

__all__ = ["client", "confirming", "dashboard", "retrainings", "writer"]
