"""Which results RESULTS.md shows, and what it says of them; ``benchmarks.results`` reads the figures."""

from benchmarks.results import Published, Table

INTRODUCTION = """Every figure comes from a file under `results/`, written by the command beside it;
`python -m benchmarks.results` makes this page. ± is half of the 95% interval: Student's over seeds, over episodes where
there is one seed. All seeds share the classes they are tested on, so it does not cover the choice of classes. Seconds
are those of training, its evaluations included. `--trained` tests the networks of an earlier command, whose seconds are
shown."""

OMNIGLOT = """Accuracy on Omniglot as published, in per cent. The splits differ: plasticity was tested on 100 characters
and trained on 1,523, with rotations as a change within an episode; most others train on 1,200 or fewer characters, test
on 423, and count rotations as classes of their own. Ours is the first split, fixed for every run."""

PUBLISHED = (
    Published(
        "Omniglot: what is published",
        OMNIGLOT,
        ("method", "5-way 1-shot", "20-way 1-shot", "split", "source"),
        (
            ("plastic read-out", "98.3 ± 0.80", "none", "1,523 / 100 characters", "Miconi et al. 2018 (ICML)"),
            ("Memory-augmented network", "82.8", "none", "1,200 / 423", "as quoted there"),
            ("Matching networks", "98.1", "93.8", "1,200 / 423, rotations as classes", "Vinyals et al. 2016"),
            ("Prototypical networks", "98.8", "96.0", "1,200 / 423, rotations as classes", "Snell et al. 2017"),
            ("MAML", "98.7 ± 0.4", "95.8", "1,200 / 423, rotations as classes", "Finn et al. 2017"),
            ("SNAIL", "99.07 ± 0.16", "97.64", "1,200 / 423, rotations as classes", "Mishra et al. 2018"),
            ("MAML++", "99.47", "97.65", "1,150 / 50 / 423, rotations as classes", "Antoniou et al. 2019"),
        ),
    ),
)
ONE_SHOT = ("5-way 1-shot", "20-way 1-shot")
FIVE_SHOT = ("5-way 5-shot", "20-way 5-shot")
LEARNERS = {
    "plastic read-out": "plastic",
    "prototypes": "protonet",
    "MAML (learn2learn)": "maml",
    "fine-tuned read-out": "finetune",
    "read-out without a trace": "nonplastic",
}


def _tested(stem: str, *tests: str) -> tuple[str, ...]:
    return tuple(f"omniglot/{stem}-{test}" for test in tests)


TABLES = (
    Table(
        "Omniglot: the plastic read-out at its best",
        "Settings chosen on 100 validation classes, which then joined the training classes.",
        ONE_SHOT,
        {"default preset": _tested("default", "5w1s", "20w1s"), "quick preset": _tested("quick", "5w1s", "20w1s")},
    ),
    Table(
        "Omniglot: the field at equal episodes",
        "The same embedding and the same episodes for every learner: 60 classes, four drawings of each. "
        "Settings of each learner chosen on validation classes.",
        ONE_SHOT,
        {label: _tested(f"episodes-{name}", "5w1s", "20w1s") for label, name in LEARNERS.items()},
    ),
    Table(
        "Omniglot: the field at equal seconds",
        "As many episodes as each learner trains on in about five minutes of one core.",
        ONE_SHOT,
        {label: _tested(f"seconds-{name}", "5w1s", "20w1s") for label, name in LEARNERS.items()},
    ),
)
