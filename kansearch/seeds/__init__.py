"""K trainings of one configuration: `kansearch retrain` and `kansearch confirm`.

retrain         seeds on GPUs of this machine: processes, devices, worker, seed; folder: claim, card, pictures
confirm         seeds of the best trials, by the engine of a search: seed_runs
"""
