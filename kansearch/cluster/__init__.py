"""The Ray side of a search: workers on GPUs and nodes, what they write, and how a search starts, ends and goes on.

launch          starts or resumes a search; session and interruptions end it
execution       runs any `kansearch.engine.work.Work` on Ray Tune; tune, workers, worker, trainable, watchdog
cluster, join   the resources there are; nodes, node_watch, newcomers, growth: nodes that come and go
gpu_sharing     how many trials share a GPU; packing, mps, node_mps, remembered, utilization
checkpoints     where a trial's state lies; kept, for the best trials
"""

__all__ = ["checkpoints", "cluster", "duration", "execution", "interruptions", "launch", "mps", "session", "trainable"]
