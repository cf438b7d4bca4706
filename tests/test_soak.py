"""Memory stays where it is, however long a run takes.

PLASTIC_SOAK=s in the environment makes all of it take s seconds; an hour by default.
"""

import os
import signal
import statistics
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from processes import Process

SECONDS = float(os.environ.get("PLASTIC_SOAK", 3600))
FOR_EVER = "--device cpu --test-episodes 20 --episodes 1000000000"
RECALL = f"{FOR_EVER} --eval-every 4000 --batch 8 --cycles 1 --presentation 3 --gap 1 --test-steps 2"
AGENT = f"{FOR_EVER} --eval-every 4000 --batch 8 --units 20 --length 30"
COMMANDS = {
    "patterns": f"tiny_recall.py patterns {RECALL} --bits 40 --patterns 2",
    "images": f"tiny_recall.py images {RECALL} --size 4 --pictures 2 --brief 0",
    "omniglot": f"tiny_omniglot.py {FOR_EVER} --eval-every 500 --train-ways 6 --queries 12 --turns 2 --widths 4 4 4 8",
    "maze": f"tiny_agents.py maze {AGENT} --size 5",
    "cue": f"tiny_agents.py cue {AGENT}",
    "splitmnist": "tiny_continual.py --device cpu --hidden 12 --epochs 10000000 --reg si --head dhp",
}
GROWTH = 10.0  # MB in the second half; a kilobyte an update makes hundreds


def _resident(pid: int) -> float:
    """MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell what a process takes")
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_long_run_takes_no_more_memory_in_its_second_half(tmp_path, command):
    """Red if an update or an evaluation leaves something behind, as ``Progress.record`` did when it joined nothing."""
    script, *words = command.split()
    process = Process(script, [*words, "--out", str(tmp_path / "run")], tmp_path)
    ends, taken = time.monotonic() + SECONDS / len(COMMANDS), []
    while time.monotonic() < ends and process.alive:
        taken.append(_resident(process.pid))
        time.sleep(min(1.0, SECONDS / 1000))
    ended = process.send(signal.SIGTERM).ended()
    assert ended.status == 128 + signal.SIGTERM, ended.err
    quarter = len(taken) // 4
    before, after = (statistics.median(part) for part in (taken[quarter : 2 * quarter], taken[-quarter:]))
    print(f"{before:.1f} MB, then {after:.1f} MB, after {ended.err.strip()}")
    assert after - before < GROWTH, taken[:: max(1, len(taken) // 20)]
