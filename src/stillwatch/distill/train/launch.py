"""Starts a training as several processes with accelerate and reads the result.

Each process runs this module again (`python -m ... RUN SETTINGS`); accelerate tells each which it is.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from stillwatch.distill import DistillError, DistillRun
from stillwatch.distill.rows import read_json, write_json
from stillwatch.distill.train import Training, TrainingResult
from stillwatch.distill.train.extra import need

Say = Callable[[str], None]
SETTINGS = "launch.json"
TOLD = 12  # last lines of a failed process that are shown


def launch(run: DistillRun, settings: Training, say: Say) -> TrainingResult:
    """Train with `processes` processes, or as an accelerate config says.

    Raises: DistillError with the last lines that the processes wrote, if one of them failed.
    """
    from stillwatch.distill.train.run import on_cpu, read_training

    need("accelerate")
    path = run.path / SETTINGS
    write_json(path, dataclasses.asdict(settings))
    command = [
        sys.executable,
        *_how(settings, on_cpu(settings)),
        "-m",
        __spec__.name,
        str(run.path),
        str(path),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    last: list[str] = []
    refused = ""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as started:
        assert started.stdout is not None
        try:
            for text in started.stdout:
                last = [*last, text.rstrip()][-TOLD:]
                if text.startswith(SAID):
                    say(text.removeprefix(SAID).rstrip())
                elif text.startswith(REFUSED):
                    refused = json.loads(text.removeprefix(REFUSED))
        except BaseException:
            started.terminate()  # accelerate passes it on to all of them
            raise
    if started.returncode:
        raise DistillError(
            refused
            or f"a training process ended with {started.returncode}; its last words: " + " / ".join(last)
        )
    return read_training(run.training)


def _how(settings: Training, cpu: bool) -> list[str]:
    """Return the launcher command: accelerate's, or on CPUs torch's own, which needs no MPI."""
    if settings.accelerate_config:
        if not Path(settings.accelerate_config).is_file():
            raise DistillError(f"[train] accelerate_config: there is no file {settings.accelerate_config}")
        return ["-m", "accelerate.commands.launch", "--config_file", settings.accelerate_config]
    if cpu:
        local_processes = f"--nproc_per_node={settings.processes}"
        return ["-m", "torch.distributed.run", "--standalone", "--nnodes=1", local_processes]
    precision = "bf16" if settings.bf16 else "no"
    shape = ["--multi_gpu", "--num_machines=1", f"--num_processes={settings.processes}"]
    return [
        "-m",
        "accelerate.commands.launch",
        *shape,
        f"--mixed_precision={precision}",
        "--dynamo_backend=no",
    ]


SAID = "stillwatch: "
REFUSED = "stillwatch-refused: "


def worker(path: str, table_path: str) -> int:
    """Run one of the processes."""
    from stillwatch.distill.train.run import train_here

    table = read_json(Path(table_path))
    settings = Training(**table | {"curve": tuple(table["curve"])})
    first = os.environ.get("RANK", "0") == "0"
    try:
        train_here(
            DistillRun(Path(path)), settings, lambda text: print(SAID + text, flush=True) if first else None
        )
    except DistillError as why:  # reported by each: the first to end has the others ended
        print(REFUSED + json.dumps(str(why)), flush=True)
        return 1
    finally:
        _leave_group()
    return 0


def _leave_group() -> None:
    """Leave the process group: Python may abort if it ends while gloo's threads work.

    Source: https://github.com/pytorch/pytorch/pull/179291
    """
    distributed = need("torch").distributed
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(worker(*sys.argv[1:]))
