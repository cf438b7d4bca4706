"""What submitit asks of Slurm, imitated on this machine: ``imitated_slurm.py sbatch SCRIPT`` and the like.

A job is a folder below $IMITATED_SLURM, named by its number, with its ``state``. Where there is a file ``held`` no job
begins.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

HOME = Path(os.environ.get("IMITATED_SLURM", ""))


def sbatch(script: str) -> None:
    """Begin the job apart from its caller, and say its number."""
    if "refused" in Path(script).read_text():
        sys.exit("sbatch: error: Batch job submission failed: Invalid partition name specified")
    number = len(list(HOME.glob("[0-9]*"))) + 1
    job = HOME / str(number)
    job.mkdir()
    (job / "script").write_text(Path(script).read_text())
    (job / "state").write_text("PENDING")
    subprocess.Popen(
        [sys.executable, __file__, "attend", str(number)],
        env={**os.environ, "SLURM_JOB_ID": str(number)},
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    print(f"Submitted batch job {number}")


def attend(number: str) -> None:
    """The node: run the job's script, again as often as it is queued again."""
    job = HOME / number
    while True:
        while (HOME / "held").exists():
            time.sleep(0.01)
        if (job / "state").read_text().startswith("CANCELLED"):
            return
        with subprocess.Popen(["bash", job / "script"], start_new_session=True) as script:
            (job / "session").write_text(str(script.pid))
            (job / "state").write_text("RUNNING")
            status = script.wait()
        left = (job / "state").read_text()
        if left == "RUNNING":
            (job / "state").write_text("FAILED" if status else "COMPLETED")
        if left != "PENDING":
            return


def srun(*words: str) -> None:
    """Run the command, with its output where --output and --error say."""
    command = list(words)
    while command[0].startswith("--"):
        option = command.pop(0)
        if option in ("--output", "--error"):
            path = command.pop(0).replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1 if option == "--output" else 2)
    os.execvp(command[0], command)


def sacct(*words: str) -> None:
    """The states of the jobs that are asked for."""
    print("JobID|State|NodeList")
    for option, number in pairwise(words):
        if option == "-j":
            print(f"{number}|{(HOME / number / 'state').read_text()}|here")


def scancel(number: str) -> None:
    """SIGTERM, then SIGKILL."""
    job = HOME / number
    (job / "state").write_text("CANCELLED by 0")
    if (job / "session").exists():
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(int((job / "session").read_text()), signum)
                time.sleep(0.3)


def send(number: str, signum: int) -> None:
    """To every process of the job but its script, as Slurm does."""
    session = int((HOME / number / "session").read_text())
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, group = int(stat.parent.name), int(stat.read_text().rpartition(")")[2].split()[2])
            if group == session != pid:
                os.kill(pid, signum)


def preempt(number: str) -> None:
    """SIGTERM; then the job is ended if it still is there, and queued again."""
    send(number, signal.SIGTERM)
    time.sleep(1)
    if (HOME / number / "state").read_text() == "RUNNING":
        (HOME / number / "state").write_text("PENDING")
        os.killpg(int((HOME / number / "session").read_text()), signal.SIGKILL)


def scontrol(requeue: str, number: str) -> None:
    (HOME / number / "state").write_text("PENDING")


def install(folder: Path) -> None:
    """The commands, as programs in a folder for PATH."""
    folder.mkdir(parents=True)
    for name in ("sbatch", "srun", "sacct", "scancel", "scontrol"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-S", __file__, name])} "$@"\n')
        program.chmod(0o755)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
