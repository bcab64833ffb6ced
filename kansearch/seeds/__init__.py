"""K trainings of one configuration, each by `trials.training.train_seed` and known by a `SeedRecord`.

retrain         seeds of a configuration into a folder: retraining, claim, processes, devices, worker, card, pictures
confirm         seeds of a study's best trials, by the executor of a search: seed_runs

The executors are two. A confirmation shares GPUs among many trainings, replaces lost workers, and keeps checkpoints
where all nodes see them: Ray Tune. A retraining gives each of a few seeds whole devices, or one model several of them:
processes, and no Ray unless it is asked for a cluster.
"""

__all__ = ["card", "confirm", "retrain", "retraining"]
