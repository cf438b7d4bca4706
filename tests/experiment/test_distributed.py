"""Several processes share a run: what they learn is what one learns, and they begin and end together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from left_by import left_by
from processes import Process
from shared import Shared
from tiny_task import Config
from torch.testing import assert_close

import agents.maze_a2c as maze
import continual.analysis as analysis
import continual.splitmnist as splitmnist
from plastic.errors import UserError
from plastic.experiment import Run, processes, sweep
from plastic.experiment.signals import Signals
from tasks import images, omniglot, patterns

ROOT = Path(__file__).parents[2]
WORDS = ["--device", "cpu", "--episodes", "24", "--batch", "3", "--every", "6"]
RECALL = "--cycles 1 --presentation 3 --gap 1 --test-steps 2 --test-episodes 2"
PATTERNS = f"patterns {RECALL} --bits 10 --patterns 2"
OMNIGLOT = "omniglot --train-ways 6 --widths 4 4 4 8 --test-episodes 2"
SAME = {
    "5 patterns by 3": (f"{PATTERNS} --batch 5", 5, 3),
    "drawings of one episode": (f"{OMNIGLOT} --queries 18 --turns 2", 1, 2),
    "51 drawings by 2": (f"{OMNIGLOT} --queries 11 --turns 1 --batch 3 --norm layer --loss binary", 3, 2),
    "5 lives by 2": ("maze --units 6 --size 3 --length 12 --batch 5 --max-norm 0.01 --test-episodes 2", 5, 2),
}
MORE = {
    "2 patterns by 2": (f"{PATTERNS} --batch 2", 2, 2),
    "3 images by 2": (f"images {RECALL} --size 4 --pictures 2 --brief 0 --batch 3", 3, 2),
    "lives of different lengths": ("cue --units 6 --length 12 --batch 4 --test-episodes 2", 4, 3),
    "finetune": (f"{OMNIGLOT} --queries 12 --turns 1 --model finetune", 1, 3),
}
CASES = [
    *(pytest.param(*case, id=name) for name, case in SAME.items()),
    *(pytest.param(*case, id=name, marks=pytest.mark.slow) for name, case in MORE.items()),
]


@pytest.mark.parametrize(("words", "batch", "count"), CASES)
def test_several_processes_learn_what_one_learns(tmp_path, words, batch, count):
    """In float64, to rounding. Red if a gradient is divided by the processes and not weighed by the shares, if a share
    is drawn by itself, if batch statistics are of a share, or if the gradient of a gathered feature is not summed."""
    found = []
    for name, number in (("one", 1), ("several", count)):
        given = [*words.split(), "--device", "cpu", "--episodes", 3 * batch, "--eval-every", 3 * batch]
        gradient = tmp_path / f"{name}-gradient.pt"
        shared = Shared("shared.py", [*given, "--out", tmp_path / name], tmp_path, number, GRADIENT=str(gradient))
        for ended in shared.ended():
            assert (ended.status, ended.err) == (0, "")
        described = json.loads((tmp_path / name / "env.json").read_text())
        assert described["processes"] == number
        left = left_by(tmp_path / name)
        found.append((torch.load(gradient), {**left["parts"], "rows": left["rows"]}))
    (one, left), (several, left_by_several) = found
    for expected, gradient in zip(one, several, strict=True):
        assert gradient.dtype == torch.float64
        assert_close(gradient, expected, rtol=0, atol=1e-12 * expected.abs().max().item())
    for part in ("network", "agent", "rows"):
        assert_close(left_by_several.get(part), left.get(part), rtol=1e-9, atol=1e-11)
    for part in ("episodes", "places", "choices"):  # the sources of chance
        assert_close(left_by_several.get(part), left.get(part), rtol=0, atol=0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A run of two processes that nothing stopped; the second would be killed as it opened a file of the folder."""
    place = tmp_path_factory.mktemp("undisturbed")
    first, second = Shared("tiny_task.py", [*WORDS, "--out", place / "run"], place, alone={1: {"KILL_AT": "1"}}).ended()
    assert (first.status, first.err, second.status, second.err) == (0, "", 0, "")
    assert first.out.count("episodes") == 4
    assert second.out == ""
    return place / "run"


def test_the_first_process_alone_writes_and_speaks(undisturbed):
    """Red if another one opens a file of the run to write, draws the bar, or prints."""
    written = {path.name for path in undisturbed.iterdir()}
    assert {"config.json", "env.json", "metrics.jsonl", "checkpoint.pt", "result.json"} <= written
    assert sum(name.startswith("events") for name in written) == 1
    assert [row["episodes"] for row in left_by(undisturbed)["rows"]] == [6, 12, 18, 24]


def _resumed(folder: Path, undisturbed: Path) -> None:
    for ended in Shared("tiny_task.py", [*WORDS, "--out", folder, "--resume"], folder.parent).ended():
        assert (ended.status, ended.err) == (0, "")
    assert_close(left_by(folder), left_by(undisturbed), rtol=0, atol=0)


def test_a_signal_to_one_process_stops_all_with_a_checkpoint(folder, undisturbed):
    """Red if a process looks at its own signals only, or if one of those that resume begins anew."""
    shared = Shared("tiny_task.py", [*WORDS, "--out", folder], folder.parent, PAUSE="0.1")
    shared.processes[1].send(signal.SIGTERM, (folder / "checkpoint.pt").exists)
    first, second = shared.ended()
    assert (first.status, second.status) == (143, 143)
    assert "checkpoint saved: go on with the same command" in first.err
    assert second.err == ""
    assert not (folder / "result.json").exists()
    assert 6 <= left_by(folder)["episodes"] < 24
    _resumed(folder, undisturbed)


def test_torchrun_stopped_and_resumed(folder, undisturbed):
    """torchrun itself. Red if the processes do not end in its thirty seconds of grace."""
    script = ROOT / "tests" / "support" / "tiny_task.py"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PAUSE": "0.2", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*map(str, torchrun), *WORDS, "--out", str(folder)], env=environ, stderr=subprocess.PIPE, text=True
    )
    while not (folder / "checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert "checkpoint saved: go on with the same command" in err
    assert 6 <= left_by(folder)["episodes"] < 24
    _resumed(folder, undisturbed)


def test_the_fastest_clock_ends_all_at_once(folder):
    """--max-seconds. Red if each process goes by its own clock: one then waits for an update that never comes."""
    words = [*WORDS, "--episodes", "30000", "--every", "9000", "--out", folder, "--max-seconds", "3"]
    for ended in Shared("tiny_task.py", words, folder.parent, alone={1: {"CLOCK": "3"}}, PAUSE="0.01").ended():
        assert (ended.status, ended.err) == (0, "")
    assert 0 < json.loads((folder / "result.json").read_text())["episodes"] < 3000


def test_what_the_first_process_refuses_ends_all_and_is_said_once(undisturbed):
    """Red if the others wait for it, go on without it, or say it too."""
    first, second = Shared("tiny_task.py", [*WORDS, "--out", undisturbed], undisturbed.parent).ended()
    assert (first.status, second.status) == (2, 2)
    assert first.err.count("\n") == 1
    assert "holds a run: choose another --out" in first.err
    assert second.err == ""


def test_divergence_ends_all_and_is_said_once(folder):
    """A loss that is no number in one share. Red if the other process does not hear of it."""
    shared = Shared("tiny_task.py", [*WORDS, "--out", folder], folder.parent, alone={1: {"DIVERGE_AT": "3"}})
    first, second = shared.ended()
    assert (first.status, second.status) == (3, 3)
    assert "the loss stopped being finite at episode 9;" in first.err
    assert second.err == ""
    assert left_by(folder)["episodes"] == 6


def test_a_process_that_is_lost_ends_the_run_with_a_sentence(folder):
    """Red without the except around what the processes tell each other."""
    shared = Shared("tiny_task.py", [*WORDS, "--out", folder], folder.parent, PAUSE="0.1")
    shared.processes[1].send(signal.SIGKILL, (folder / "checkpoint.pt").exists)
    first, second = shared.ended()
    assert (first.status, second.status) == (2, -signal.SIGKILL)
    assert first.err.startswith("error: another process of this run has ended")
    assert first.err.count("\n") == 1
    assert left_by(folder)["episodes"] >= 6


REFUSED: dict[str, tuple[Any, str, str]] = {
    "continual": (
        splitmnist.Config(),
        "2",
        "python -m continual.splitmnist is no work that processes can share, and 2",
    ),
    "analysis": (analysis.Config(), "2", "python -m continual.analysis is no work"),
    "few lives": (maze.Config(), "9", "--batch 8: 9 processes share the lives of an update"),
    "a life to watch": (maze.Config(watch=Path("run")), "2", "--watch is no work"),
    "maml": (omniglot.Config(model="maml"), "2", "--model maml --plastic readout, which embeds nothing"),
    "plastic convolutions": (omniglot.Config(plastic="all"), "3", "--plastic all, which embeds nothing"),
    "a test": (omniglot.Config(trained=Path("run")), "2", r"a test \(--trained\) is no work"),
    "few drawings": (omniglot.Config.from_preset("paper"), "7", "7 processes share the 6 drawings of an update"),
    "few patterns": (patterns.Config(), "2", "--batch 1: 2 processes share the episodes of an update"),
    "few pictures": (images.Config(batch=3), "4", "--batch 3: 4 processes share the episodes of an update"),
}


@pytest.mark.parametrize(("config", "count", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_shared_is_refused(config, count, message, monkeypatch):
    """Red without its line in validate: every process then trains a whole run of its own, or has nothing to do."""
    config.validate()
    monkeypatch.setenv("WORLD_SIZE", count)
    with pytest.raises(UserError, match=message) as refusal:
        config.validate()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("config", "count"), [(omniglot.Config.from_preset("paper"), "6"), (images.Config(), "16")])
def test_as_many_processes_as_there_are_shares_are_welcome(config, count, monkeypatch):
    """Red if the comparison refuses the last one."""
    monkeypatch.setenv("WORLD_SIZE", count)
    config.validate()


def test_a_sweep_is_refused(tmp_path, monkeypatch):
    """Red without its line: each process would run every cell."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="a sweep is no work that processes can share"):
        sweep.main(sweep.Arguments(out=tmp_path), [["python", "-m", "tasks.omniglot"]])


def test_a_refusal_ends_the_program_with_status_2(tmp_path):
    """Red if the refusal is no UserError, or comes after the processes have begun to wait for each other."""
    words = ["--out", str(tmp_path / "run")]
    ended = Process(str(ROOT / "continual" / "splitmnist.py"), words, tmp_path, WORLD_SIZE="2", RANK="1").ended()
    assert ended.status == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("error: python -m continual.splitmnist")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def one_of_two(monkeypatch) -> list[torch.Tensor]:
    """This process believes to be one of two; what it would reduce is noted."""
    reduced: list[torch.Tensor] = []
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes, "_reduce", lambda values, *operation: reduced.append(values))
    return reduced


def test_an_update_is_one_message_and_leaves_nothing_of_it(one_of_two):
    """Red with a message for each parameter, or if the scalars, kept until the next evaluation, hold the gradients."""
    network = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.Linear(20, 1))
    loss = network(torch.ones(30)).sum()
    loss.backward()
    scalars = processes.averaged(network.parameters(), {"loss": loss, "accuracy": torch.tensor(0.5)}, 0.25)
    assert [len(message) for message in one_of_two] == [30 * 20 + 20 + 20 + 1 + 2]
    assert scalars["loss"].item() == loss.item() / 4
    assert scalars["accuracy"].item() == 0.125
    assert scalars["loss"].untyped_storage().nbytes() == 2 * 4
    assert_close(network[1].bias.grad, torch.tensor([0.25]))


@pytest.mark.parametrize(("seconds", "most"), [(0.001, 30), (0.3, 15), (2.0, 10)])
def test_the_processes_ask_each_other_about_once_a_second(one_of_two, seconds, most, monkeypatch):
    """Ten seconds of updates. Red if every update asks, or if the first guess of their pace is kept."""
    clock = [0.0]
    monkeypatch.setattr(processes.time, "monotonic", lambda: clock[0])
    watch = processes.Watch(0.0, 0.0, Signals())
    unseen = 0.0
    for _ in range(int(10 / seconds)):
        clock[0] += seconds
        watch.look(1)
        unseen = max(unseen, clock[0] - watch.seconds)
    assert 3 <= len(one_of_two) <= most
    assert unseen <= 1.01
    watch.look()
    assert watch.seconds == clock[0]


def test_processes_whose_clocks_differ_ask_at_the_same_updates(one_of_two, monkeypatch):
    """Red if anything but what was agreed on decides when to ask next: one then waits for an answer to nothing."""

    def asks(ahead: float) -> list[int]:
        """When a process asks whose clock is ahead of the one that is agreed on, by which an update takes 0.6 s."""
        update, asked = 0, []

        def agree(values: torch.Tensor, *operation: Any) -> None:
            asked.append(update)
            values[0] = 0.6 * update

        monkeypatch.setattr(processes, "_reduce", agree)
        monkeypatch.setattr(processes.time, "monotonic", lambda: 0.6 * update + ahead)
        watch = processes.Watch(0.0, 0.0, Signals())
        while update < 50:
            update += 1
            watch.look(1)
        return asked

    assert asks(0.0) == asks(0.3) == asks(-0.3)


def test_one_process_looks_at_every_update(monkeypatch):
    """Red if a signal waits for a second."""
    signals = Signals()
    watch = processes.Watch(time.monotonic(), 0.0, signals)
    signals.received = signal.SIGINT
    watch.look(1)
    assert watch.signal == signal.SIGINT


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_shares_are_everything_once_and_nearly_equal(count, monkeypatch):
    """Red if a thing is lost or taken twice at a border, or if the weights do not sum to one."""
    monkeypatch.setattr(processes, "count", lambda: count)
    for total in range(count, 20):
        taken, weights = [], []
        for number in range(count):
            monkeypatch.setattr(processes.dist, "get_rank", lambda number=number: number)
            mine, weight = processes.share(total)
            taken.append(range(total)[mine])
            weights.append(weight)
        assert [thing for mine in taken for thing in mine] == list(range(total))
        assert max(map(len, taken)) - min(map(len, taken)) <= 1
        assert weights == [len(mine) / total for mine in taken]


def test_other_data_in_another_process_is_refused(start, monkeypatch):
    """Red if a machine that has to make data up trains along with those that have the real one."""
    monkeypatch.setattr(Run, "_described", lambda run, facts: {"dataset": "Omniglot"})
    with start() as run, pytest.raises(UserError, match="another dataset than the first one"):
        run.describe(dataset="strokes")


def test_each_process_takes_the_gpu_of_its_number(monkeypatch):
    """Red if all of a machine's processes take the first GPU, or one of them none."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert processes.local_device() == torch.device("cuda")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert processes.local_device() == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="process 2 of this machine has no GPU, torch finds 2: --nproc-per-node 2"):
        processes.local_device()


def test_without_torchrun_no_group_is_made(start, monkeypatch):
    """Red if a run of one pays for a group, or cannot do without torch.distributed."""
    monkeypatch.setattr(processes.dist, "is_available", lambda: False)
    with processes.joined(torch.device("cpu")), start() as run:
        assert processes.count() == 1
        assert processes.first()
        run.log(1, {"eval/x": 1.0})
        assert run.history() == [{"episodes": 1, "eval/x": 1.0}]
    assert Config.SHARED
