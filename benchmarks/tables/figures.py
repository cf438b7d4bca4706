"""The papers' figures, drawn again from our runs."""

from dataclasses import dataclass
from pathlib import Path

ANALYSIS = "continual/analysis/figures"


@dataclass(frozen=True)
class Redrawn:
    """What a figure shows, where it was published, and ours under results/, side by side; those not drawn yet are
    left out."""

    shows: str
    source: str
    pictures: tuple[str, ...]


REDRAWN = (
    Redrawn(
        "Wrong bits while learning: 50 bits, plastic, plain and LSTM networks",
        "Miconi et al. 2018, arXiv v1, figure 3; theirs go on to 1,000,000 episodes",
        ("patterns/fair-episodes.png", "patterns/fair-seconds.png"),
    ),
    Redrawn(
        "Pictures completed, and the matrices that do it",
        "Miconi et al. 2018, section 4.3; ours are test pictures",
        ("images/completions.png", "images/matrices.png"),
    ),
    Redrawn(
        "Error of pictures while learning, one alpha a connection beside one for all",
        "Miconi et al. 2018, arXiv v1, figure 5; theirs are training pictures, one episode an update",
        ("images/learning-episodes.png", "images/learning-seconds.png"),
    ),
    Redrawn(
        "Reward in the maze while learning: plastic, plain, one alpha for all",
        "Miconi et al. 2018, arXiv v1, figure 6; theirs go on to 1,000,000 lives",
        ("maze/reward.png", "maze/within-a-life.png"),
    ),
    Redrawn(
        "Accuracy over the tasks so far, with and without DHP-Softmax",
        "poster of Thangarasa, Miconi, Taylor, AMTL at ICML 2019",
        ("continual/split.png", "continual/permuted.png", "continual/imbalanced.png"),
    ),
    Redrawn(
        "One update of the Hebbian trace, by class",
        "the authors' article on DHP-Softmax",
        (f"{ANALYSIS}/trace_update.png",),
    ),
    Redrawn(
        "The path integral against the drop of the loss, and what corrects it",
        "slides on synaptic intelligence (Zenke, Poole, Ganguli 2017)",
        tuple(f"{ANALYSIS}/{name}.png" for name in ("path_integral", "correction", "bias")),
    ),
    Redrawn(
        "Importance against the Fisher information, across tasks, and on a quadratic",
        "the same slides",
        tuple(f"{ANALYSIS}/{name}.png" for name in ("fisher", "tasks", "hessian")),
    ),
    Redrawn(
        "Two tasks in two dimensions, and training against test on Split CIFAR",
        "the same slides",
        tuple(f"{ANALYSIS}/{name}.png" for name in ("two_tasks", "generalisation")),
    ),
)


def section(folder: Path) -> list[str]:
    """The figures whose pictures are in ``folder``, as lines of markdown."""
    lines = ["## The papers' figures, drawn from our runs", ""]
    for figure in REDRAWN:
        there = [name for name in figure.pictures if (folder / name).exists()]
        if there:
            pictures = " ".join(f"![{figure.shows}](results/{name})" for name in there)
            lines += [f"**{figure.shows}** ({figure.source})", "", pictures, ""]
    return lines
