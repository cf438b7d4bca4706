"""A sweep's cells as jobs of a cluster: submitit hands them to Slurm, and Slurm says how they are.

    python -m plastic.experiment.sweep --out runs/rules --cluster slurm --partition gpu --gpus 1 --minutes 120 -- \\
        python -m tasks.omniglot --seeds 3 --rule hebb,oja

A cell is one job: ``--cpus`` cores, ``--gpus`` GPUs, ``--minutes``. Whatever else a cluster wants to know stands in
sbatch's own variables, such as SBATCH_ACCOUNT or SBATCH_MEM_PER_CPU; folder and environment must be the same there.

Jobs outlive the sweep. Ctrl-C, a closed terminal or a kill ends the table only: the same line finds the jobs again, by
``cluster.json`` in the folders of their cells, and submits none twice. ``scancel`` ends one; it then is a failed cell,
which the same line submits again, from its checkpoint. Before its time is over a cell saves a checkpoint and is queued
again, three times at most, and Slurm queues again what it preempts.
"""

import fcntl
import io
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import Any, ClassVar

from plastic.errors import UserError
from plastic.experiment.grid import Cell
from plastic.experiment.jobs import LOCK, Job
from plastic.experiment.options import require
from plastic.experiment.run import read_json, write_json, writing

RECORD = "cluster.json"  # of the job that was submitted for a cell
POLL = 2.0  # seconds between two looks at the cells' files
ASKED = 60  # seconds, at most, between two calls of sacct, which says how all of them are
LATE = 60.0  # seconds that a shared file system may take to show a result
GRACE = 600.0  # seconds in which a cluster ends a job that it has sent SIGTERM


class Command:
    """A cell's process in its job. Pickled with its code, so that the job need not import torch beside it."""

    process: subprocess.Popen[bytes] | None = None

    def __init__(self, words: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.words, self.folder, self.environ = words, folder, environ

    def __call__(self) -> None:
        """RuntimeError with its status, if that is not 0."""
        with open(self.folder / "log.txt", "ab") as log, open(self.folder / LOCK, "a") as lock:
            with suppress(OSError):  # some shared file systems have no locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)  # no process of the machine of a sweep has it
            self.process = subprocess.Popen(
                self.words,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environ},
                # Slurm sends it to every process of the job, where it would kill
                preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
            )
            status = self.process.wait()
        if status in (128 + signal.SIGTERM, -signal.SIGTERM):
            time.sleep(GRACE)  # preempted: a job that ends by itself is not queued again
        if status:
            raise RuntimeError(f"status {status}")

    def checkpoint(self) -> Any:
        """The time is nearly over, says SIGUSR2: the cell saves, and submitit has the job queued again."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            self.process.terminate()
            with suppress(ChildProcessError):  # its status is for process.wait, which this handler interrupts
                os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(type(self)(self.words, self.folder, self.environ))


class Submitted(Job):
    """A cell and its job of the cluster."""

    lasting: ClassVar[bool] = True

    def __init__(self, cell: Cell, executor: Any) -> None:
        super().__init__(cell)
        self._executor, self._done = executor, 0.0
        self._job: Any = None
        if self.state == "done":
            self._record.unlink(missing_ok=True)
        elif self._record.exists():
            self._job = executor.job_class(executor.folder, read_json(self._record)["job"])

    @property
    def _record(self) -> Path:
        return self.cell.folder / RECORD

    @property
    def id(self) -> str:
        return str(self._job.job_id)

    def find(self) -> bool:
        """Whether it was submitted before, and has not ended yet."""
        if self._job is not None and not self._job.done():
            self._look()
        return self.active

    def start(self, slot: Mapping[str, str]) -> None:
        """Submit it. UserError where the cluster refuses."""
        self.slot = slot
        with writing(self.cell.folder):
            self.cell.folder.mkdir(parents=True, exist_ok=True)
        command = Command(self.cell.words, self.cell.folder.absolute(), slot)
        self._executor.update_parameters(job_name=self.cell.name)
        try:
            with redirect_stderr(io.StringIO()):  # what sbatch says is in the error too
                self._job = self._executor.submit(command)
        except (OSError, RuntimeError) as error:
            raise UserError(f"{self.cell.name} could not be submitted: {' '.join(str(error).split())}") from error
        write_json(self._record, {"job": self.id})
        self._look()

    def ended(self) -> bool:
        if not self.active:
            return False
        if not self._job.done():
            self._look()
            return False
        paths, how = self._job.paths, self._job.state
        if told := paths.result_pickle.exists():
            kind, trace = pickle.loads(paths.result_pickle.read_bytes())
            how = "COMPLETED" if kind == "success" else trace.strip().splitlines()[-1].partition(": ")[2].rstrip(".")
        fine, self._done = how == "COMPLETED", self._done or time.monotonic()
        if fine and self.cell.result() is None and time.monotonic() - self._done < LATE:
            return False
        self._record.unlink(missing_ok=True)
        self._settle(fine, how)
        if self.state == "failed" and not told:  # the cell never came to an end that it could tell of
            self.note = f"job {self.id} {how}  ({paths.stderr})"
        return True

    def _look(self) -> None:
        """Whether it is queued or running, as sacct said last."""
        self.state = "running" if self._job.state == "RUNNING" else "queued"
        self.note = f"job {self.id}" if self.state == "queued" else ""


def executor(out: Path, partition: str | None, minutes: int, cpus: int, gpus: int) -> Any:
    """What submits cells to Slurm. UserError without submitit, without Slurm, or for what makes no sense."""
    require(minutes >= 5, f"--minutes: expected at least 5, of which two are for the checkpoint, got {minutes}")
    require(cpus >= 1, f"--cpus: expected at least 1, got {cpus}")
    require(gpus >= 0, f"--gpus: expected at least 0, got {gpus}")
    try:
        import cloudpickle
        import submitit
    except ImportError:
        raise UserError("--cluster needs submitit: pip install 'differentiable-plasticity[cluster]'") from None
    try:
        subprocess.run(["sacct", "--noheader"], check=True, capture_output=True, text=True)
        made = submitit.SlurmExecutor(out / "submitit")
    except subprocess.CalledProcessError as error:
        raise UserError(f"--cluster slurm: sacct, which tells how jobs end, says: {error.stderr.strip()}") from error
    except (OSError, RuntimeError) as error:
        raise UserError(f"--cluster slurm: no Slurm here ({error})") from error
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    submitit.SlurmJob.watcher = type(submitit.SlurmJob.watcher)(delay_s=ASKED)
    given = {"time": minutes, "cpus_per_task": cpus, "partition": partition, "gpus_per_node": gpus or None}
    # srun does not hear of the cores from sbatch
    made.update_parameters(srun_args=[f"--cpus-per-task={cpus}"], **{k: v for k, v in given.items() if v is not None})
    return made


def refuse_submitted(cells: Sequence[Cell]) -> None:
    """UserError for cells that are to run here and may still be at work on a cluster."""
    for cell in cells:
        if cell.result() is None and (record := cell.folder / RECORD).exists():
            raise UserError(
                f"{cell.name} was submitted to a cluster: go on with --cluster slurm, or cancel it and remove {record}"
            )


def farewell(jobs: Sequence[Job]) -> str:
    """What to say of the jobs that stay; nothing if there are none."""
    stay = [job.id for job in jobs if isinstance(job, Submitted) and job.active]
    if not stay:
        return ""
    return (
        f"{len(stay)} jobs stay on the cluster; the same line finds them, and this ends them: scancel {' '.join(stay)}"
    )
