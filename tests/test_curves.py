"""What several runs learned, in one figure: the numbers behind it are those that the runs logged."""

import json
from pathlib import Path

import pytest

from benchmarks.curves import Arguments, main
from plastic.errors import UserError
from plastic.experiment.figures import quartiles

FACTS = {"command": "python -m tasks.patterns", "machine": "1 core", "device": "cpu", "torch": "2"}


def _run(folder: Path, *seeds: list[float], named: str = "eval/error_rate") -> Path:
    for number, values in enumerate(seeds):
        place = folder / f"seed-{number}" if len(seeds) > 1 else folder
        place.mkdir(parents=True)
        rows = [{"episodes": 10 * i, "time/seconds": i / 3, named: v, "x": 1} for i, v in enumerate(values, 1)]
        (place / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "result.json").write_text(json.dumps({**FACTS, "metrics": {}}))
    return folder


def test_the_file_holds_what_every_seed_logged(tmp_path):
    """Red if a seed, a condition or a machine goes missing, or another metric is taken."""
    several, one = _run(tmp_path / "a", [0.5, 0.25], [0.4]), _run(tmp_path / "b", [0.3])
    main(Arguments(runs=(f"plastic={several}", f"rnn={one}"), out=tmp_path / "results" / "fair"))
    kept = json.loads((tmp_path / "results" / "fair-curves.json").read_text())
    assert kept["runs"] == {"plastic": FACTS, "rnn": FACTS}
    values = {k: [[row["eval/error_rate"] for row in seed] for seed in v] for k, v in kept["histories"].items()}
    assert values == {"plastic": [[0.5, 0.25], [0.4]], "rnn": [[0.3]]}
    assert kept["histories"]["plastic"][0][1] == {"episodes": 20, "time/seconds": 0.6667, "eval/error_rate": 0.25}
    assert {path.name for path in (tmp_path / "results").iterdir()} == {
        *("fair-curves.json", "fair-episodes.png", "fair-seconds.png")
    }


def test_a_run_without_the_metric_is_one_sentence(tmp_path):
    """Red if an empty curve is drawn."""
    folder = _run(tmp_path / "a", [0.5], named="eval/other")
    with pytest.raises(UserError, match=r"no eval/error_rate was logged there"):
        main(Arguments(runs=(f"plastic={folder}",), out=tmp_path / "fair"))
    with pytest.raises(UserError, match="expected LABEL=FOLDER"):
        main(Arguments(runs=(str(folder),), out=tmp_path / "fair"))


@pytest.mark.parametrize(("against", "at"), [("episodes", [10, 20]), ("seconds", [2.0, 4.0])])
def test_a_curve_is_the_median_of_its_seeds_as_far_as_all_go(against, at):
    """Red if the mean is drawn, the axes are exchanged, or a seed that went further bends the end."""
    seeds = [
        [{"episodes": 10 * i, "time/seconds": 2.0 * i, "loss": v} for i, v in enumerate(values, 1)]
        for values in ([1, 2], [3, 4, 9], [8, 9])
    ]
    (axes,) = quartiles({"plastic": seeds}, "loss", "loss", "", against).axes
    (drawn,) = axes.lines
    assert drawn.get_xdata().tolist() == at
    assert drawn.get_ydata().tolist() == [3, 4]
    assert len(axes.collections) == 1
