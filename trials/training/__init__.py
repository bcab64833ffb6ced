"""Training of one trial: the face through which others train, and ask what a training costs.

    for result in run_trial(config, checkpoint=Path("checkpoint.pt")):
        report(result)
    evaluate(config, Path("checkpoint.pt"))["accuracy"]  # on the test split

`run` starts and resumes a trial; `seed` trains one to the end and measures it on the test split; `loop` goes through
the epochs. `epoch` and `validation` take one, by steps or from CUDA graphs (`capture`). `step` holds a step's
arithmetic; `losses` and `edges` are what it makes small. `optim`, `lion` and `lbfgs*` are optimizers. `grids` changes
grids between epochs; `distributed` spreads a batch over devices.
Each name below is imported when it is first used: importing this package loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trials.lazy import lazily

__all__ = [
    "ALONE",
    "Processes",
    "TrialDiverged",
    "accelerators",
    "check_start",
    "count_flops",
    "count_parameters",
    "count_preset",
    "epoch_work",
    "evaluate",
    "gpus",
    "join",
    "measure",
    "measure_sharing",
    "open_gpu",
    "run_trial",
    "start_gpu",
    "time_inference",
    "time_step",
    "train_seed",
    "use_memory",
    "use_threads",
]

if TYPE_CHECKING:
    from trials.measure.sharing import measure_sharing, open_gpu
    from trials.measure.sizes import count_flops, count_parameters, count_preset, measure
    from trials.measure.timing import epoch_work, time_step
    from trials.saved.pretrained import check_start
    from trials.training.distributed import ALONE, Processes, join
    from trials.training.loop import TrialDiverged
    from trials.training.run import (
        accelerators,
        evaluate,
        gpus,
        run_trial,
        start_gpu,
        time_inference,
        use_memory,
        use_threads,
    )
    from trials.training.seed import train_seed
else:
    __getattr__ = lazily(
        __name__,
        {
            "trials.measure.sharing": "measure_sharing open_gpu",
            "trials.measure.sizes": "count_flops count_parameters count_preset measure",
            "trials.measure.timing": "epoch_work time_step",
            "trials.saved.pretrained": "check_start",
            "trials.training.distributed": "ALONE Processes join",
            "trials.training.loop": "TrialDiverged",
            "trials.training.run": "accelerators evaluate gpus run_trial start_gpu time_inference "
            "use_memory use_threads",
            "trials.training.seed": "train_seed",
        },
    )
