"""Try to join a Ray cluster, in a process of its own: `python probe.py ADDRESS` prints one JSON object.

Ray waits minutes for a cluster that doesn't answer, talks to stderr meanwhile, and may end the process it is called in.
Here it can do all that. Imports nothing of kansearch, so that it needs nothing but its own path.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys

SECONDS = 12
_IMPATIENT = {
    "RAY_NUM_REDIS_GET_RETRIES": "1",
    "RAY_py_gcs_connect_timeout_s": "3",
    "RAY_gcs_rpc_server_connect_timeout_s": "3",
    "RAY_gcs_server_request_timeout_seconds": "5",
}


def join(address: str) -> dict[str, str]:
    """`{}` if this process could join the cluster at `address`; else `kind` of the refusal and Ray's own `text`."""
    os.environ.update(_IMPATIENT)
    import ray

    signal.alarm(SECONDS)  # ends the process, whatever Ray waits for
    try:
        ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False)
    except Exception as error:
        text = " ".join(f"{error} {error.__cause__ or ''}".split())
        return {"kind": kind_of(text), "text": text}
    ray.shutdown()
    return {}


def kind_of(text: str) -> str:
    """Return the kind of Ray's refusal, by its text."""
    signs = {
        "token": ("InvalidAuthToken", "authentication token"),
        "version": ("Version mismatch",),
        "elsewhere": ("No node info found", "when trying to resolve node to connect to"),
        "nowhere": ("Could not find any running Ray instance",),
        "silent": ("Timed out", "RpcError", "GCS"),
    }
    return next((kind for kind, words in signs.items() if any(word in text for word in words)), "other")


if __name__ == "__main__":
    print(json.dumps(join(sys.argv[1])))
