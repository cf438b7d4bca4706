"""The command as a process: what it says, where, and with which status it ends."""

import re
import signal
from pathlib import Path

import pytest
from processes import Process

from plastic.experiment import program

WORDS = ["--device", "cpu", "--episodes", "24", "--batch", "2", "--every", "8"]


def _start(folder: Path, *words: str, **environ: str) -> Process:
    return Process("tiny_task.py", [*WORDS, "--out", str(folder), *words], folder.parent, **environ)


def test_done(folder):
    """Red if a warning or the bar goes to stderr, or the status is not 0."""
    ended = _start(folder).ended()
    assert (ended.status, ended.err) == (0, "")
    assert len(re.findall(r"^tiny \d+/24 episodes", ended.out, re.M)) == 3
    assert "tiny on noise: size" in ended.out


def test_a_warning_is_one_line_without_the_code_behind_it(folder):
    """Red if a warning keeps Python's own form, a path and a line of source."""
    ended = _start(folder, WARN="no data, going on without").ended()
    assert (ended.status, ended.err) == (0, "warning: no data, going on without\n")


BAD = {
    "option": (["--seeds", "0"], "--seeds: expected at least 1, got 0"),
    "resume without out": (["--resume", "--out", "None"], "--resume needs --out DIR"),
    "folder": (["--out", "/dev/null/run"], "could not write /dev/null/run: Not a directory"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_what_the_user_can_mend_is_status_2_and_one_line(folder, words, message):
    """Red without the except for UserError in ``command``."""
    ended = _start(folder, *words).ended()
    assert ended.status == 2
    assert ended.err.startswith(f"error: {message}")
    assert len(ended.err.splitlines()) == 1


def test_a_word_that_is_no_option_is_status_2(folder):
    """Red if the parser's own exit is caught."""
    ended = _start(folder, "--speed", "3").ended()
    assert ended.status == 2
    assert "--speed" in ended.err
    assert "Traceback" not in ended.err


def test_taken_damaged_and_other_folders_are_status_2(folder):
    """Red if any of them is a traceback, or goes on."""
    assert _start(folder).ended().status == 0
    taken = _start(folder).ended()
    other = _start(folder, "--resume", "--lr", "0.5").ended()
    checkpoint = folder / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-300])
    damaged = _start(folder, "--resume").ended()
    for ended, message in ((taken, "holds a run"), (other, "lr is 0.05 there and 0.5 here"), (damaged, "is damaged")):
        assert ended.status == 2
        (line,) = ended.err.splitlines()
        assert re.match(rf"error: .*{message}", line)


def test_diverged_is_status_3(folder):
    """Red if it counts as a bad option, or as done."""
    ended = _start(folder, DIVERGE_AT="6").ended()
    assert ended.status == 3
    assert ended.err == "error: the loss stopped being finite at episode 12; the last checkpoint before it is kept\n"
    assert (folder / "checkpoint.pt").exists()


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_stopped_is_128_and_the_signal_and_says_how_to_go_on(folder, signum, status):
    """Red if the status is the same for both, or the hint is missing."""
    log = folder / "metrics.jsonl"
    process = _start(folder, PAUSE="0.05").send(signum, when=lambda: log.exists() and log.stat().st_size > 0)
    ended = process.ended()
    assert ended.status == status
    assert re.fullmatch(
        rf"interrupted at \d+ episodes; checkpoint saved: go on with the same command, --out {folder} --resume\n",
        ended.err,
    )
    assert _start(folder, "--resume").ended().status == 0


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_before_anything_is_begun_has_its_status_too(signum, status, capsys):
    """Red if only a run listens to signals: SIGTERM would end the process without a word."""
    with pytest.raises(SystemExit) as ended:
        program(lambda: signal.raise_signal(signum))
    assert ended.value.code == status
    assert capsys.readouterr().err == "interrupted\n"
