"""One trial of a search: everything that runs in a worker. Knows nothing of kansearch, Ray, Optuna or MLflow."""
