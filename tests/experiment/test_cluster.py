"""A sweep's cells as jobs of Slurm, imitated by tests/support/imitated_slurm.py; of a real one where it is at hand."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imitated_slurm
import pytest
from processes import SUPPORT, Process

from plastic.errors import UserError
from plastic.experiment import cluster, grid, jobs, sweep

LIGHT = ("python", "-m", "light_task")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """Cells find the commands of the tests; nobody waits for long."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), os.getcwd()]))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr(cluster, "POLL", 0.02)
    monkeypatch.setattr(cluster, "ASKED", 0.1)
    monkeypatch.setattr(cluster, "LATE", 0.1)


class Slurm:
    """The imitation, from outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str) -> None:
        subprocess.run([sys.executable, imitated_slurm.__file__, *words], check=True)

    @property
    def jobs(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("[0-9]*"))

    def hold(self) -> None:
        (self.folder / "held").touch()

    def release(self) -> None:
        (self.folder / "held").unlink(missing_ok=True)


@pytest.fixture
def slurm(monkeypatch, tmp_path) -> Iterator[Slurm]:
    imitated_slurm.install(tmp_path / "bin")
    found = Slurm(tmp_path / "slurm")
    found.folder.mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("IMITATED_SLURM", str(found.folder))
    yield found
    for number in found.jobs:
        if (found.folder / number / "state").read_text() in ("RUNNING", "PENDING"):
            found("scancel", number)
    found.release()


def run(out: Path, *words: str, **given: Any) -> dict[str, Any]:
    return sweep.main(sweep.Arguments(out=out, cluster="slurm", **given), [[*LIGHT, *words]])


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.01)


@pytest.fixture
def meanwhile() -> Iterator[Callable[..., None]]:
    """``meanwhile(when, act)``: beside the test, ``act()`` once ``when()`` holds."""
    threads: list[threading.Thread] = []

    def meanwhile(when: Callable[[], bool], act: Callable[[], object]) -> None:
        threads.append(threading.Thread(target=lambda: (until(when), act())))
        threads[-1].start()

    yield meanwhile
    for thread in threads:
        thread.join()


def test_every_cell_is_a_job(folder, slurm, capsys):
    """Red if the whole is submitted before its seeds, an option does not reach sbatch, or srun and the cell do not hear
    of the cores."""
    record = run(folder, "--seeds", "2", "--rule", "a,b", minutes=7, cpus=3, gpus=1, partition="fast lane")
    assert {name: found["seeds"] for name, found in record["conditions"].items()} == {
        "light_task_rule=a": [0, 1],
        "light_task_rule=b": [0, 1],
    }
    scripts = [(slurm.folder / number / "script").read_text() for number in slurm.jobs]
    assert len(scripts) == 6
    for line in ("time=7", "cpus-per-task=3", "gpus-per-node=1", "partition='fast lane'"):
        assert all(f"#SBATCH --{line}\n" in script for script in scripts)
    assert all("srun" in script and " --cpus-per-task=3 " in script for script in scripts)
    assert sum("job-name='light_task_rule=a (2 seeds)'" in script for script in scripts) == 1
    begun = [line for path in folder.rglob("calls") for line in path.read_text().splitlines()]
    assert len(begun) == 6
    assert all('"OMP_NUM_THREADS": "3"' in line for line in begun)
    assert not list(folder.rglob("cluster.json"))
    out = capsys.readouterr().out
    assert "light_task_rule=b  m 0.0500 ± 0.5000  2" in out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_outlive_the_sweep_and_the_same_line_finds_them(
    folder, slurm, tmp_path, meanwhile, capsys, monkeypatch, number
):
    """Red if jobs are cancelled with the sweep, are submitted again, or nothing is written until all are submitted."""
    slurm.hold()
    words = ["--out", str(folder), "--cluster", "slurm", "--", *LIGHT, "--rule", "a,b"]
    environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "IMITATED_SLURM")}
    first = Process(sweep.__file__, words, tmp_path, **environ)
    ended = first.send(number, when=lambda: len(list(folder.glob("*/cluster.json"))) == 2).ended()
    if number == signal.SIGTERM:
        kept = "2 jobs stay on the cluster; the same line finds them, and this ends them: scancel 1 2"
        assert (ended.status, ended.err) == (143, f"interrupted: {kept}\n")
    with pytest.raises(UserError, match=r"rule=a was submitted to a cluster: go on with --cluster slurm, or .*/clust"):
        sweep.main(sweep.Arguments(out=folder), [[*LIGHT, "--rule", "a,b"]])
    drawn, show = [], jobs.Screen.show
    monkeypatch.setattr(jobs.Screen, "show", lambda screen, cells: (show(screen, cells), drawn.append(cells)))
    meanwhile(lambda: bool(drawn), slurm.release)
    record = run(folder, "--rule", "a,b")
    assert all("metrics" in found for found in record["conditions"].values())
    assert slurm.jobs == ["1", "2"]
    assert "queued   light_task_rule=b  job 2\n" in capsys.readouterr().out


def test_what_failed_is_named_and_submitted_again(folder, slurm, capsys, meanwhile):
    """Red if a status or a cancelled job goes unnoticed, is waited for, or is found again by the next line."""
    hanging = folder / "light_task_mode=hang"
    meanwhile((hanging / "calls").exists, lambda: slurm("scancel", slurm.jobs[-1]))
    with pytest.raises(SystemExit) as ended:
        run(folder, "--mode", "plain,fail,hang", "--seed", "1")
    assert ended.value.code == 1
    failed, cancelled = capsys.readouterr().err.splitlines()
    log = folder / "light_task_mode=fail" / "log.txt"
    assert failed == f"failed: light_task_mode=fail, status 3: error: the sky fell  ({log})"
    stderr = folder / "submitit" / "3_0_log.err"
    assert cancelled == f"failed: light_task_mode=hang, job 3 CANCELLED by 0  ({stderr})"
    assert stderr.exists()
    (hanging / "checkpoint.pt").touch()  # with one it ends
    with pytest.raises(SystemExit):
        run(folder, "--mode", "plain,fail,hang", "--seed", "1")
    assert len(slurm.jobs) == 5, "the plain one is done"
    assert (hanging / "result.json").exists()


def test_a_job_cancelled_before_it_began(folder, slurm, capsys, meanwhile):
    """Red if a log is read that nobody has begun."""
    slurm.hold()
    meanwhile(lambda: bool(slurm.jobs), lambda: slurm("scancel", "1"))
    with pytest.raises(SystemExit):
        run(folder)
    assert "failed: light_task, job 1 CANCELLED by 0  (" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["time", "preempted"])
def test_a_job_goes_on_from_its_checkpoint(folder, slurm, meanwhile, how):
    """Red if SIGUSR2 kills the cell, if it is not stopped before the job is queued again, if the process cannot be
    pickled, or (preempted) if the job ends by itself after SIGTERM."""
    act = {
        "time": lambda: imitated_slurm.send("1", signal.SIGUSR2),
        "preempted": lambda: slurm("preempt", "1"),
    }
    imitated_slurm.HOME = slurm.folder
    meanwhile((folder / "light_task" / "calls").exists, act[how])
    run(folder, "--mode", "hang")
    assert (folder / "light_task" / "checkpoint.pt").exists()
    assert len((folder / "light_task" / "calls").read_text().splitlines()) == 2
    assert slurm.jobs == ["1"]


def test_a_folder_that_is_worked_on_is_left_alone(folder, slurm, meanwhile):
    """Red if the job does not take the lock, as a node that lost its contact would have it."""
    cell = folder / "light_task"
    cell.mkdir(parents=True)
    lock = jobs.claim(cell)
    assert lock is not None
    seen, inode = [], os.fstat(lock.fileno()).st_ino

    def stands() -> bool:
        held = Path("/proc/locks").read_text().splitlines()
        return any("-> FLOCK" in line and f":{inode} " in line for line in held) or (cell / "calls").exists()

    def let() -> None:
        seen.append((cell / "calls").exists())
        lock.close()

    meanwhile(stands, let)
    run(folder)
    assert seen == [False]


def test_a_result_may_be_late(folder, slurm, monkeypatch):
    """Red if a job that ended well fails where the file system shows its result later, or is waited for for ever."""
    monkeypatch.setattr(cluster, "LATE", 60.0)
    found, asked = grid.Cell.result, []

    def late(self: grid.Cell) -> dict[str, Any] | None:
        result = found(self)
        asked.append(result)
        return result if sum(map(bool, asked)) > 3 else None

    monkeypatch.setattr(grid.Cell, "result", late)
    assert "metrics" in run(folder)["conditions"]["light_task"]
    monkeypatch.setattr(grid.Cell, "result", lambda self: None)
    monkeypatch.setattr(cluster, "LATE", 0.1)
    with pytest.raises(SystemExit):
        run(folder)


def test_no_more_jobs_than_wanted(folder, slurm, monkeypatch):
    """Red if --jobs is not heard: a cluster may refuse more."""
    slurm.hold()
    counts = []
    monkeypatch.setattr(jobs.Screen, "show", lambda *_: (counts.append(len(slurm.jobs)), slurm.release()))
    run(folder, "--rule", "a,b", jobs=1)
    assert counts[0] == 1
    assert slurm.jobs == ["1", "2"]


def test_what_sbatch_refuses_is_one_sentence(folder, slurm, capsys):
    """Red if submitit's error goes through, or sbatch's own line is printed beside it."""
    with pytest.raises(
        UserError, match=r"^light_task could not be submitted: sbatch: error: .* Invalid partition"
    ) as no:
        run(folder, partition="refused")
    assert "\n" not in str(no.value)
    assert "sbatch" not in capsys.readouterr().err
    assert not list(folder.rglob("cluster.json"))


def test_without_submitit_or_slurm(folder, slurm, monkeypatch, tmp_path):
    """Red if an import error or a traceback comes through, or the folder is made."""
    (tmp_path / "bin" / "sacct").write_text("#!/bin/sh\necho Slurm accounting storage is disabled >&2; exit 1\n")
    with pytest.raises(
        UserError, match=r"sacct, which tells how jobs end, says: Slurm accounting storage is disabled$"
    ):
        run(folder)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="--cluster slurm: no Slurm here"):
        run(folder)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"needs submitit: pip install 'differentiable-plasticity\[cluster\]'$"):
        run(folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cluster": "slurm", "minutes": 4}, "--minutes: expected at least 5, of which"),
        ({"cluster": "slurm", "cpus": 0}, "--cpus: expected at least 1, got 0"),
        ({"cluster": "slurm", "gpus": -1}, "--gpus: expected at least 0, got -1"),
        ({"cluster": "slurm", "jobs": 0}, "--jobs: expected at least 1, got 0"),
        ({"minutes": 30}, "--minutes is for a cluster: add --cluster slurm"),
        ({"partition": "gpu"}, "--partition is for a cluster"),
    ],
)
def test_an_option_that_makes_no_sense(folder, given, message):
    """Red without the requirement."""
    with pytest.raises(UserError, match=message):
        sweep.main(sweep.Arguments(out=folder, **given), [LIGHT])
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sbatch") is None, reason="needs Slurm")
def test_a_real_slurm(folder, capsys, meanwhile, monkeypatch):
    """Red if the imitation is not like it: a cell fails, one is cancelled and goes on with the same line. Where nodes
    do not share /tmp, pytest wants a --basetemp that they do."""
    if subprocess.run(["sacct"], capture_output=True).returncode:
        pytest.skip("Slurm is installed here but does not run")
    monkeypatch.setattr(cluster, "ASKED", 2)
    hanging = folder / "light_task_mode=hang"

    def cancel() -> None:
        words = ["squeue", "--noheader", "--format=%i", "--name=light_task_mode=hang"]
        subprocess.run(["scancel", subprocess.check_output(words, text=True).split()[-1]], check=True)

    meanwhile((hanging / "calls").exists, cancel)
    with pytest.raises(SystemExit):
        run(folder, "--mode", "plain,fail,hang", "--seed", "1")
    failed, cancelled = capsys.readouterr().err.splitlines()
    assert "status 3: error: the sky fell" in failed
    assert "CANCELLED" in cancelled
    assert (hanging / "checkpoint.pt").exists()
    with pytest.raises(SystemExit):
        run(folder, "--mode", "plain,fail,hang", "--seed", "1")
    assert (hanging / "result.json").exists()
