"""What sharing a minibatch does to the path integral, and the estimate that an independent one corrects.

w = -sum g delta takes g from the minibatch that delta was made by: the noise of both is the same, its square adds up.
With g from an independent minibatch the noise averages out. That the noise is what makes importance resemble the root
of the Fisher information is Benzing's claim (AISTATS 2022).
"""

from collections.abc import Iterator, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from continual.importance import Sums, fisher
from continual.studies import Row, Study, layer
from continual.studies.importances import correlation
from continual.studies.paths import Walk

MEASURED = 1000  # examples of the Fisher diagonal
WHOLE = "all"


def bias(walks: Sequence[Walk], inputs: Tensor, labels: Tensor, xi: float) -> Study:
    """By optimizer and layer: the shared and the corrected sum, and how either goes with the Fisher diagonal."""
    figure = Figure(figsize=(4.2 * len(walks), 6.2), layout="constrained")
    above, below = figure.subplots(2, len(walks), squeeze=False)
    rows: list[Row] = []
    for axes, bars, one in zip(above, below, walks, strict=True):
        axes.plot(one.at, one.drop, color="black", label="true drop of the loss")
        axes.plot(one.at, one.shared, color="tab:red", linestyle="--", label="sum, the same minibatch")
        axes.plot(one.at, one.apart, color="tab:blue", linestyle="--", label="sum, an independent one")
        axes.set(title=one.name, xlabel="step", ylabel="drop of the loss")
        axes.grid(alpha=0.3)
        axes.set_ylim(top=1.3 * float(max(one.drop.max(), one.shared.max())))
        axes.legend(fontsize=8, loc="upper left")
        found = list(_by_layer(one, inputs, labels, xi))
        rows += found
        layers = range(len(found))
        for shift, kind, colour in ((-0.2, "the same", "tab:red"), (0.2, "independent", "tab:blue")):
            heights = [float(row[f"with root F, {kind}"]) for row in found]
            bars.bar([i + shift for i in layers], heights, width=0.4, color=colour, label=f"{kind} minibatch")
        bars.axhline(0, color="grey", lw=0.8)
        bars.set_xticks(layers, [str(row["layer"]) for row in found])
        bars.set(
            ylabel="correlation of importance\nwith the root of the Fisher", ylim=(min(0, bars.get_ylim()[0]), 1.15)
        )
        bars.legend(fontsize=8, loc="upper center", ncols=2)
    return Study({"bias": figure}, rows)


def _by_layer(one: Walk, inputs: Tensor, labels: Tensor, xi: float) -> Iterator[Row]:
    parameters = dict(one.network.named_parameters())
    batches = zip(
        inputs[:MEASURED].unsqueeze(0).split(500, 1), labels[:MEASURED].unsqueeze(0).split(500, 1), strict=True
    )
    diagonal = fisher(one.network, parameters, batches)
    groups = {layer(name): [name] for name in parameters if name.endswith("weight")} | {WHOLE: list(parameters)}
    for label, names in groups.items():
        F, moved, shared, apart = (_joined(sums, names) for sums in (diagonal, one.moved, *one.credit))
        damped, root = moved.square() + xi, F.sqrt()
        drop = float(one.drop[-1])
        yield {
            "optimizer": one.name,
            "layer": label,
            "sum / drop, the same": float(shared.double().sum()) / drop,
            "sum / drop, independent": float(apart.double().sum()) / drop,
            "correlation of both": correlation(shared / damped, apart / damped),
            "with root F, the same": correlation(shared / damped, root),
            "with root F, independent": correlation(apart / damped, root),
        }


def _joined(sums: Sums, names: Sequence[str]) -> Tensor:
    return torch.cat([sums[name].flatten() for name in names])
