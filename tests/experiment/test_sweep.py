"""A grid of commands over processes: what it stands for, who runs when, and what a failure or a signal leaves."""

import importlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import light_task
import pytest
import tiny_task
import torch
from processes import SUPPORT, Process

from plastic.errors import UserError
from plastic.experiment import Interrupted, grid, jobs, sweep

LIGHT = ("python", "-m", "light_task")
PROGRAM = sweep.__file__


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """Cells find the commands of the tests; nothing of the caller's shows."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), os.getcwd()]))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(sweep, "POLL", 0.02)


def run(out: Path, *words: str, jobs: int = 2, gpus: int | None = None) -> dict[str, Any]:
    return sweep.main(sweep.Arguments(out=out, jobs=jobs, gpus=gpus), [[*LIGHT, *words]])


def calls(out: Path) -> dict[str, list[dict[str, Any]]]:
    """What each folder of a sweep was started with."""
    return {
        str(path.parent.relative_to(out)): [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(out.rglob("calls"))
        if path.stat().st_size
    }


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# what a line stands for

GRIDS = {
    "two options": (
        ["--rule", "hebb,oja", "--rate", "0.1,0.2"],
        {
            "light_task_rule=hebb_rate=0.1": {"rule": "hebb", "rate": 0.1},
            "light_task_rule=hebb_rate=0.2": {"rule": "hebb", "rate": 0.2},
            "light_task_rule=oja_rate=0.1": {"rule": "oja", "rate": 0.1},
            "light_task_rule=oja_rate=0.2": {"rule": "oja", "rate": 0.2},
        },
    ),
    "with =": (["--rule=hebb,oja"], {"light_task_rule=hebb": {"rule": "hebb"}, "light_task_rule=oja": {"rule": "oja"}}),
    "together": (
        ["--rule hebb --rate 0.2,--rule oja"],
        {"light_task_rule=hebb_rate=0.2": {"rule": "hebb", "rate": 0.2}, "light_task_rule=oja": {"rule": "oja"}},
    ),
    "several values": (
        ["--hidden", "3 4,5"],
        {"light_task_hidden=3-4": {"hidden": (3, 4)}, "light_task_hidden=5": {"hidden": (5,)}},
    ),
    "a part of the values": (
        ["--hidden", "3", "4,5"],
        {"light_task_hidden=3-4": {"hidden": (3, 4)}, "light_task_hidden=3-5": {"hidden": (3, 5)}},
    ),
    "a switch": ([",--joint"], {"light_task": {"joint": False}, "light_task_joint": {"joint": True}}),
    "a comma of the value": (["--rule", r"a\,b,c"], {"light_task_rule=a-b": {"rule": "a,b"}, "light_task_rule=c": {}}),
    "no choice": (["--rule", r"x y\,z"], {"light_task": {"rule": "x y,z"}}),
    "presets": (
        ["--preset", "default,quick"],
        {"light_task_preset=default": {"rate": 0.1}, "light_task_preset=quick": {"rate": 0.5}},
    ),
}


@pytest.mark.parametrize(("words", "expected"), GRIDS.values(), ids=GRIDS)
def test_choices_become_conditions(words, expected):
    """Red if _apart leaves ``--rule=`` alone, a choice is not split into words, ``\\,`` splits, or _chosen names fixed
    options."""
    found = grid.conditions([[*LIGHT, *words]])
    assert [condition.name for condition in found] == list(expected)
    for condition, options in zip(found, expected.values(), strict=True):
        assert {name: getattr(condition.config, name) for name in options} == options


def test_several_commands_side_by_side():
    """Red if the module has no choices, or takes no part in the name."""
    found = grid.conditions([["python3", "-m", "light_task,tiny_task", "--seed", "4"], [*LIGHT, "--rule", "a,b"]])
    assert [condition.name for condition in found] == [
        "light_task",
        "tiny_task",
        "light_task_rule=a",
        "light_task_rule=b",
    ]
    assert isinstance(found[1].config, tiny_task.Config)
    assert [condition.config.seed for condition in found] == [4, 4, 0, 0]


BAD = {
    "no python -m": (["light_task", "--rule", "a,b"], "expected a command such as python -m"),
    "unknown module": (["python", "-m", "tasks.nowhere"], "could not import tasks.nowhere"),
    "no command of ours": (["python", "-m", "json"], "python -m json is no command that can be swept"),
    "a folder": ([*LIGHT, "--out", "here"], "the sweep itself gives --out and --resume"),
    "resume": ([*LIGHT, "--resume"], "the sweep itself gives --out and --resume"),
    "the same twice": ([*LIGHT, "--rule", "a,a"], "two conditions are both called light_task_rule=a"),
    "half a quotation": ([*LIGHT, "--rule", "a,'b"], 'could not read the choices "a,\'b": no closing quotation'),
    "an option that makes no sense": ([*LIGHT, "--seeds", "1,0"], "--seeds: expected at least 1, got 0"),
}


@pytest.mark.parametrize(("command", "message"), BAD.values(), ids=BAD)
def test_a_bad_line_is_one_sentence_before_anything_runs(folder, command, message):
    """Red without the check, or if validate is left to the cells."""
    with pytest.raises(UserError, match=message.replace("(", r"\(")) as raised:
        sweep.main(sweep.Arguments(out=folder), [command])
    assert "\n" not in str(raised.value)
    assert not folder.exists()


def test_a_bad_option_is_the_command_s_own_message(folder, capsys):
    """Red if the words are read by each cell, not before."""
    with pytest.raises(SystemExit) as ended:
        run(folder, "--mode", "plain,fast")
    assert ended.value.code == 2
    assert "--mode" in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"jobs": 0}, "--jobs: expected at least 1, got 0"),
        ({"gpus": 1}, "--gpus: expected 0"),
        ({"gpus": -1}, "--gpus"),
    ],
)
def test_more_than_the_machine_has_is_refused(folder, given, message):
    """Red without the requirement."""
    with pytest.raises(UserError, match=message):
        run(folder, **given)


def test_cells_lie_where_the_command_puts_its_seeds(folder):
    """Red if a single seed gets a folder of its own, or seeds that train together are pulled apart."""
    several, alone = light_task.Config(seed=3, seeds=2), light_task.Config(seed=3)

    class Together(light_task.Config):
        SEEDS_TOGETHER = True

    def lie(config: light_task.Config) -> list[tuple[str, int, int]]:
        cells = grid.Condition("x", config).cells(folder)
        return [(str(cell.folder.relative_to(folder)), cell.config.seed, cell.config.seeds) for cell in cells]

    assert lie(several) == [("x/seed-3", 3, 1), ("x/seed-4", 4, 1), ("x", 3, 2)]
    assert lie(alone) == [("x", 3, 1)]
    assert lie(Together(seed=3, seeds=2)) == [("x", 3, 2)]


COMMANDS = [
    *("tasks.patterns", "tasks.images", "tasks.omniglot", "agents.maze_a2c", "agents.cue_a2c"),
    *("continual.splitmnist", "continual.permutedmnist", "continual.splitcifar", "continual.analysis"),
]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_whether_its_seeds_train_together(name):
    """Red where SEEDS_TOGETHER is not what main does: a seed would be sought in a folder that never comes to be."""
    module = importlib.import_module(name)
    assert hasattr(module, "conduct_together") == module.Config.SEEDS_TOGETHER
    assert hasattr(module, "conduct") != module.Config.SEEDS_TOGETHER


# running


def test_every_condition_comes_to_one_result(folder, capsys):
    """Red if the whole runs before its seeds, the seed is not passed on, or sweep.json holds another metric."""
    record = run(folder, "--seeds", "2", "--seed", "1", "--rule", "hebb,oja", "--data-dir", "some where")
    found = calls(folder)
    assert list(found) == [f"light_task_rule={r}{s}" for r in ("hebb", "oja") for s in ("", "/seed-1", "/seed-2")]
    for name, (call,) in found.items():
        assert {"--resume", "--out", str(folder / name)} < set(call["words"])
        assert call["words"][call["words"].index("--data-dir") + 1] == "some where"
        assert call["session"] == call["pid"], "a terminal's Ctrl-C is for the sweep, which passes it on"
    assert json.loads((folder / "sweep.json").read_text()) == record
    for rule in ("hebb", "oja"):
        condition = record["conditions"][f"light_task_rule={rule}"]
        assert (condition["seeds"], condition["seconds"]) == ([1, 2], 4.0)
        assert condition["metrics"]["m"] == {"per_seed": [0.1, 0.2], "mean": pytest.approx(0.15), "ci95": 0.5}
        assert condition["config"]["rule"] == rule
        assert condition["command"].startswith("python -m light_task --preset default --seed 1 --seeds 2")
    out = capsys.readouterr().out
    assert "light_task_rule=oja   m 0.1500 ± 0.5000  2      4" in out
    assert "log.txt" in out
    assert "\x1b" not in out, "plain lines where there is no terminal"


def test_what_is_done_is_not_done_again(folder):
    """Red if a finished cell, or a whole, runs again; if a whole that a new seed has outdated does not; or if what a
    kill left half-written stays."""
    run(folder, "--seeds", "2")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    (folder / ".sweep.json.1.part").write_text("half")  # what a kill left
    run(folder, "--seeds", "2")
    assert not list(folder.glob(".*.part"))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")} == before
    (folder / "light_task" / "seed-1" / "result.json").unlink()
    run(folder, "--seeds", "2")
    again = {path.parent.name for path in before if path.stat().st_mtime_ns != before[path]}
    assert again == {"light_task", "seed-1"}
    run(folder, "--seeds", "3")
    assert [len(found) for found in calls(folder).values()] == [3, 1, 2, 1]
    os.utime(folder / "light_task" / "seed-0" / "result.json")  # done after the whole, in a sitting that was cut short
    run(folder, "--seeds", "3")
    assert [len(found) for found in calls(folder).values()] == [4, 1, 2, 1]
    assert run(folder, "--seeds", "2")["conditions"]["light_task"]["seeds"] == [0, 1]


def test_another_configuration_is_refused(folder):
    """Red if finished cells are taken for those of other options, or several seeds go into the folder of one."""
    run(folder, "--rule", "hebb,oja")
    with pytest.raises(UserError, match=r"rule=hebb was made with another .* rate is 0.1 there and 0.2 here"):
        run(folder, "--rule", "hebb,oja", "--rate", "0.2")
    (folder / "light_task_rule=hebb" / "config.json").touch()  # as a real run has it
    with pytest.raises(UserError, match=r"rule=hebb holds a run of one seed"):
        run(folder, "--rule", "hebb,oja", "--seeds", "2")


def test_a_failed_cell_stops_no_other(folder, capsys):
    """Red if the sweep ends with the first failure, goes on to the whole without a seed, or keeps its status 0."""
    with pytest.raises(SystemExit) as ended:
        run(folder, "--mode", "fail,plain", "--seeds", "3", jobs=1)
    assert ended.value.code == 1
    finished = {str(path.parent.relative_to(folder)) for path in folder.rglob("result.json")}
    failing, plain = "light_task_mode=fail", "light_task_mode=plain"
    assert finished == {f"{failing}/seed-0", f"{failing}/seed-2", plain, *(f"{plain}/seed-{k}" for k in range(3))}
    out, err = capsys.readouterr()
    log = folder / failing / "seed-1" / "log.txt"
    assert err == f"failed: {failing}/seed-1, status 3: error: the sky fell  ({log})\n"
    assert log.read_text() == "error: the sky fell\n"
    assert f"{failing}   not finished       2 of 3" in out
    record = json.loads((folder / "sweep.json").read_text())["conditions"]
    assert ("metrics" in record[failing], "metrics" in record[plain]) == (False, True)


def test_cells_share_cores_and_gpus(folder, monkeypatch):
    """Red if more run than --jobs, a slot is not given back, all cells see one GPU, or threads are not divided."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7,8")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(9)))
    run(folder, "--rule", "a,b,c,d,e", jobs=2, gpus=2)
    found = [call for (call,) in calls(folder).values()]
    assert len(found) == 5
    assert {call["CUDA_VISIBLE_DEVICES"] for call in found} == {"3", "GPU-7"}
    assert {call["OMP_NUM_THREADS"] for call in found} == {"4"}
    for call in found:
        beside = [c for c in found if c["begun"] < call["ended"] and call["begun"] < c["ended"]]
        assert len({c["CUDA_VISIBLE_DEVICES"] for c in beside}) == len(beside) <= 2


def test_slots(monkeypatch):
    """Red if there are more slots than cells, one GPU is given before another is in use, or a set number of threads is
    overruled."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))

    def slots(cells: int, **given: int) -> list[dict[str, str]]:
        return sweep._slots(sweep.Arguments(out=Path(), **given), cells)

    assert slots(20) == [{"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}] * 8
    assert slots(2, jobs=8) == [{"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "4"}] * 2
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots(20)] == ["0", "1"]
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots(20, jobs=3)] == ["0", "1", "0"]
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots(20, jobs=2, gpus=0)] == ["", ""]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,5,-1,6")  # the driver stops at the -1
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots(20)] == ["7", "5"]
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert {slot["OMP_NUM_THREADS"] for slot in slots(20, jobs=4)} == {"6"}


def test_first_seeds_first(folder):
    """Red if the second seed of one condition runs before the first of another."""
    run(folder, "--rule", "a,b", "--seeds", "2", jobs=1)
    begun = sorted((call["begun"], name) for name, (call,) in calls(folder).items() if "seed" in name)
    assert [name[-1] for _, name in begun] == ["0", "0", "1", "1"]


# signals


@pytest.fixture
def signalled(folder) -> Iterator[Callable[..., None]]:
    """``signalled(number, cells=2, again=False)``: this process gets a signal once so many cells are at work, and
    another once a cell has heard of it."""
    threads: list[threading.Thread] = []

    def send(number: int, cells: int, again: bool) -> None:
        until(lambda: len(calls(folder)) >= cells)
        os.kill(os.getpid(), number)
        if again:
            until(lambda: any(folder.rglob("heard")))
            os.kill(os.getpid(), number)

    def signalled(number: int, cells: int = 2, again: bool = False) -> None:
        threads.append(threading.Thread(target=send, args=(number, cells, again)))
        threads[-1].start()

    yield signalled
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_every_cell_and_the_same_line_goes_on(folder, signalled, number):
    """Red if the signal is not passed on, the sweep does not wait, or a cell begins afterwards."""
    signalled(number)
    words = ["--mode", "hang", "--rule", "a,b,c"]
    with pytest.raises(Interrupted) as stopped:
        run(folder, *words)
    assert stopped.value.signal == number
    begun = calls(folder)
    assert list(begun) == ["light_task_rule=a", "light_task_rule=b"]
    for name, (call,) in begun.items():
        assert (folder / name / "checkpoint.pt").exists()
        assert not alive(call["pid"])
    third = folder / "light_task_rule=c"
    third.mkdir()
    (third / "checkpoint.pt").touch()  # with one it ends
    run(folder, *words)
    assert len(list(folder.rglob("result.json"))) == 3


def test_a_second_signal_kills(folder, signalled):
    """Red if a cell that listens to nothing is waited for, or left behind."""
    signalled(signal.SIGTERM, cells=1, again=True)
    with pytest.raises(Interrupted):
        run(folder, "--mode", "deaf")
    (call,) = calls(folder)["light_task"]
    until(lambda: not alive(call["pid"]), 5)


def test_a_crash_of_the_sweep_leaves_no_cell(folder, monkeypatch):
    """Red if only signals stop the cells."""

    def broken(*_: object) -> None:
        if calls(folder):
            raise BrokenPipeError

    monkeypatch.setattr(jobs.Screen, "show", broken)
    with pytest.raises(BrokenPipeError):
        run(folder, "--mode", "hang")
    (call,) = calls(folder)["light_task"]
    assert not alive(call["pid"])


def test_two_sweeps_do_not_share_a_folder(folder):
    """Red without the lock."""
    folder.mkdir()
    with jobs.claim(folder), pytest.raises(UserError, match=f"a sweep is still at work in {folder}"):
        run(folder)
    run(folder)


# what a killed sweep left


@pytest.fixture
def left(folder, tmp_path) -> Callable[..., int]:
    """``left("hang")``: the process of a cell whose sweep was killed."""

    def left(mode: str) -> int:
        words = ["--out", str(folder), "--jobs", "1", "--", *LIGHT, "--mode", mode, "--rule", "a,b"]
        killed = Process(PROGRAM, words, tmp_path, PYTHONPATH=os.environ["PYTHONPATH"])
        killed.send(signal.SIGKILL, when=lambda: bool(calls(folder))).ended()
        ((call,),) = calls(folder).values()
        assert alive(call["pid"])
        return call["pid"]

    return left


@pytest.fixture
def once_shown(monkeypatch) -> Callable[..., None]:
    """``once_shown(act)``: when the sweep is at work, ``act()``."""
    show = jobs.Screen.show

    def once_shown(act: Callable[[], object]) -> None:
        acts = [act]
        monkeypatch.setattr(jobs.Screen, "show", lambda screen, found: (show(screen, found), acts and acts.pop()()))

    return once_shown


def test_a_cell_that_a_killed_sweep_left_is_waited_for(folder, left, capsys):
    """Red if a cell does not hold its lock, the sweep fails, begins another beside it, or takes it for done."""
    pid = left("hang")
    first, second = (folder / f"light_task_rule={rule}" for rule in "ab")
    seen = []

    def end() -> None:
        time.sleep(1)
        seen.extend([second.exists(), len(calls(folder))])
        second.mkdir(exist_ok=True)
        (second / "checkpoint.pt").touch()  # with one it ends
        os.kill(pid, signal.SIGTERM)

    thread = threading.Thread(target=end)
    thread.start()
    run(folder, "--mode", "hang", "--rule", "b,a", jobs=1)
    thread.join()
    assert seen == [False, 1]
    assert [len(found) for found in calls(folder).values()] == [2, 1]
    assert (first / "result.json").exists()
    assert "running  light_task_rule=a" in capsys.readouterr().out


def test_a_signal_reaches_what_a_killed_sweep_left(folder, left, signalled, once_shown):
    """Red if the process is not known by its number, or not waited for."""
    pid = left("hang")
    once_shown(lambda: signalled(signal.SIGTERM, cells=1))
    with pytest.raises(Interrupted):
        run(folder, "--mode", "hang", "--rule", "b,a", jobs=1)
    assert not alive(pid)
    assert (folder / "light_task_rule=a" / "checkpoint.pt").exists()


def test_a_second_signal_kills_what_a_killed_sweep_left(folder, left, signalled, once_shown):
    """Red if only its own processes are killed."""
    pid = left("deaf")
    once_shown(lambda: signalled(signal.SIGTERM, cells=1, again=True))
    with pytest.raises(Interrupted):
        run(folder, "--mode", "deaf", "--rule", "b,a", jobs=1)
    until(lambda: not alive(pid), 5)


# as a program


def test_a_terminal_that_is_closed_stops_the_cells(folder, tmp_path):
    """Red without _hanging_up."""
    words = ["--out", str(folder), "--", *LIGHT, "--mode", "hang"]
    closed = Process(PROGRAM, words, tmp_path, PYTHONPATH=os.environ["PYTHONPATH"])
    ended = closed.send(signal.SIGHUP, when=lambda: bool(calls(folder))).ended()
    (call,) = calls(folder)["light_task"]
    assert ended.status == 143
    assert ended.err == "interrupted: what was begun has its checkpoint; go on with the same line\n"
    assert not alive(call["pid"])


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--", *LIGHT, "--rule", "a,a"], "error: two conditions"), ([], "error: what is to run is missing")],
    ids=["condition", "no command"],
)
def test_what_the_user_can_mend_is_status_2_and_one_line(folder, tmp_path, words, message):
    """Red if the program does not end as the commands do."""
    ended = Process(PROGRAM, ["--out", str(folder), *words], tmp_path).ended()
    assert (ended.status, len(ended.err.splitlines())) == (2, 1)
    assert ended.err.startswith(message)


def test_real_seeds_come_to_what_the_command_finds(folder):
    """Red if a cell is not the run that the command would have made, or a begun cell starts afresh."""
    small = {"episodes": 24, "batch": 2, "every": 8, "device": "cpu"}
    words = [word for name, value in small.items() for word in (f"--{name}", str(value))]
    expected = tiny_task.main(tiny_task.Config(out=folder / "command", seeds=2, **small))
    begun = tiny_task.Config(out=folder / "swept" / "tiny_task" / "seed-1", seed=1, **small)

    def stop(number: int) -> float:
        return signal.raise_signal(signal.SIGTERM) or 1.0 if number == 5 else 1.0

    with pytest.raises(Interrupted):
        tiny_task.main(begun, stop)
    arguments = sweep.Arguments(out=folder / "swept", jobs=2)
    record = sweep.main(arguments, [["python", "-m", "tiny_task", *words, "--seeds", "2"]])
    found = record["conditions"]["tiny_task"]
    assert found["metrics"] == expected["metrics"]
    assert (found["seeds"], found["episodes"]) == ([0, 1], 24)
    log = (folder / "swept" / "tiny_task" / "seed-1" / "log.txt").read_text()
    assert "tiny 16/24" in log
    assert "tiny 8/24" not in log, "the begun seed goes on after its checkpoint"


# what is seen


def test_a_table_on_a_terminal(folder, monkeypatch, capsys):
    """Red if rows do not fit the screen, finished cells push running ones off it, or the table is not drawn over."""
    monkeypatch.setattr(jobs.sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(jobs.shutil, "get_terminal_size", lambda: os.terminal_size((40, 7)))
    cells = grid.Condition("x", light_task.Config(seeds=4)).cells(folder)
    shown = [jobs.Job(cell) for cell in cells]
    for job, state in zip(shown, ("done", "done", "running", "waiting", "waiting"), strict=True):
        job.state = state
    running = shown[2].cell.folder
    running.mkdir(parents=True)
    logged = '{"episodes": 8, "train/loss": 1, "eval/error": 0.25, "time/seconds": 3.4}\n{"episodes": 16, "tra'
    (running / "metrics.jsonl").write_text(logged)
    screen = jobs.Screen()
    screen.show(shown)
    first = capsys.readouterr().out
    assert "x/seed-2     running  8         3" in first
    assert "1 running, 2 waiting, 2 done" in first
    assert "seed-0" not in first
    assert len(first.splitlines()) == 6
    assert all(len(line.removeprefix("\x1b[J")) < 40 for line in first.splitlines())
    screen.show(shown)
    assert capsys.readouterr().out == "", "nothing new, nothing drawn"
    shown[2].state = "stopped"
    screen.show(shown)
    assert capsys.readouterr().out.startswith("\x1b[6F\x1b[J")
