"""What the Omniglot run shows: an episode, the accuracy so far, the coefficients, and a memory being written."""

from typing import TYPE_CHECKING

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from plastic.experiment import Run, generator
from plastic.experiment.figures import curve, matrices
from tasks.fewshot.episodes import as_input, draw, rotated, support_labels
from tasks.fewshot.explanation import CLASSES, plasticity_figure
from tasks.fewshot.learners import Learner, PlasticReadout

if TYPE_CHECKING:
    from tasks.omniglot import Config


@torch.no_grad()
def draw_figures(
    run: Run, learner: Learner, config: "Config", images: Tensor, dataset: str, rotations: int, at: int
) -> None:
    """Write every figure of the run as it stands; ``images`` are those of the classes under test."""
    learner.eval()
    chance = generator(config.seed, "figure", images.device)
    classes, shape = torch.arange(len(images), device=images.device), (images.shape[0], images.shape[1])
    episode = draw(classes, shape, 1, config.ways, config.shots, config.ways, chance, rotations)
    pictures = rotated(images, rotations)
    shown, asked = pictures[episode.support[0]], pictures[episode.queries[0]]
    support, queries = (learner.embed(as_input(part)).unsqueeze(0) for part in (shown, asked))
    labels = support_labels(1, config.ways, config.shots, images.device)
    answers = learner.classify(support, labels, queries, config.ways).argmax(-1)[0]
    run.figure("episode", episode_figure(shown, asked, episode.labels[0], answers, dataset), at)
    run.images("episode/support", as_input(shown).squeeze(1), at)
    run.images("episode/queries", as_input(asked).squeeze(1), at)
    if not isinstance(learner, PlasticReadout):
        return
    trace = learner.remember(support, labels)
    learned, written = _connections(learner, trace, config.ways)
    run.figure("alpha", matrices(learned, "class unit (post)", "feature (pre)"), at)
    if trace is not None:
        run.figure("trace", matrices(written, "class unit (post)", "feature (pre)", one_scale=True), at)
        count = min(config.ways, CLASSES)  # the first classes, which compete with each other alone
        said = {
            "with the trace": learner.readout.read(queries, trace),
            "trace wiped": learner.readout.read(queries),
        }
        explained = plasticity_figure(
            shown[:: config.shots][:count],
            asked[:count],  # one of each class, in their order
            {name: values[:, :count] for name, values in (learned | written).items()},
            {name: logits[0, :count, :count].softmax(-1) for name, logits in said.items()},
            config.shots,
            config.rule,
            dataset,
        )
        run.figure("plasticity", explained, at)


def _connections(
    learner: PlasticReadout, trace: Tensor | None, ways: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Into the first class units (F, N): what is learned, and the trace before the support and after it."""
    learned = {"weight": learner.readout.weight[:, :ways]}
    alpha = learner.readout.alpha
    if alpha is None or trace is None:
        return learned, {}
    learned["alpha"] = (alpha[..., :ways] if alpha.dim() else alpha).expand_as(learned["weight"])
    after = trace[0, :, :ways]
    return learned, {"trace before": torch.zeros_like(after), "trace after": after}


def episode_figure(shown: Tensor, asked: Tensor, labels: Tensor, answers: Tensor, dataset: str) -> Figure:
    """The support (N * K, S, S), class by class, above one query of each class with what the network said."""
    ways, shots = len(asked), len(shown) // len(asked)
    columns = min(ways, 10)
    figure = Figure(figsize=(1.1 * columns + 0.6, 1.25 * (shots + 1) + 0.5), layout="constrained")
    axes = figure.subplots(shots + 1, columns, squeeze=False)
    for column in range(columns):
        for shot in range(shots):
            _picture(axes[shot][column], shown[column * shots + shot])
        axes[0][column].set_title(f"{column + 1}", fontsize=10)
        query, right = axes[shots][column], bool(answers[column] == labels[column])
        _picture(query, asked[column])
        query.set_xlabel(f"says {int(answers[column]) + 1}", color="green" if right else "red", fontsize=10)
    axes[0][0].set_ylabel("support", fontsize=10)
    axes[shots][0].set_ylabel("query", fontsize=10)
    figure.suptitle(f"{ways}-way {shots}-shot episode of unseen classes ({dataset})", fontsize=11)
    return figure


def _picture(axes: Axes, image: Tensor) -> None:
    axes.imshow(image.cpu().numpy(), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])


def told(config: "Config") -> str:
    """What a training update asks."""
    pretrained = config.model == "finetune"
    return "all classes at once" if pretrained else f"{config.train_ways}-way {config.shots}-shot"


def accuracy_figure(run: Run, config: "Config", name: str, dataset: str) -> Figure:
    """Accuracy against training episodes, on the training classes and on unseen ones."""
    names = {
        f"eval/{name}": f"{config.ways}-way {config.shots}-shot, unseen classes",
        "train/accuracy": f"{told(config)}, training classes",
    }
    return curve(run.history(), names, "accuracy", f"Few-shot characters ({dataset})", 1 / config.ways)
