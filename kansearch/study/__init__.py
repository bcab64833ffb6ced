"""A study on the disk: its trials, its front, what was confirmed, and who may write to it.

study           opens and creates studies; locations, storage: where their files and databases are
trials, records a trial as it is written, and as it is read; rows, curve, reader: how Optuna's tables hold it
front           the front, its hypervolume and its knee; objectives: values as costs
confirmed       trials with several seeds; seeds, spread, statistics, selection, paired: what they tell
comparison      several studies beside each other
verdict         whether KANs or plain networks are better; verdict_text: in words
lock            one driver a study; database_lock, server_lock: the same in a database
notes           what people wrote about trials, as Optuna Dashboard keeps it
joining         several studies as one: foreign, history, staging
optuna_parts    the private parts of Optuna that are used, each with a test
"""

__all__ = [
    "comparison",
    "confirmed",
    "confirmed_table",
    "figures",
    "foreign",
    "front",
    "history",
    "joining",
    "lock",
    "objectives",
    "paired",
    "private",
    "records",
    "seeds",
    "selection",
    "spread",
    "staging",
    "statistics",
    "storage",
    "stored_config",
    "study",
    "usage",
    "verdict",
    "verdict_text",
]
