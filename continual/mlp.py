"""What the benchmarks on digits share: rectified hidden layers and a read-out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from continual.learning import learn
from continual.networks import MLP
from continual.options import ContinualOptions
from continual.scenarios import Stream
from plastic.experiment import Run, Together, require


def require_units(hidden: Sequence[int]) -> None:
    """UserError unless there is a hidden layer, and a unit in each."""
    require(len(hidden) > 0 and min(hidden) >= 1, f"--hidden: expected at least 1 unit, got {hidden}")


@dataclass(frozen=True, kw_only=True)
class MLPOptions(ContinualOptions):
    """Digits and a network for them."""

    dataset: Literal["auto", "mnist", "digits"] = "auto"
    """auto: MNIST, and generated digits where it cannot be had"""
    hidden: tuple[int, ...] = (256, 256)
    """units of the hidden layers"""

    def validate(self) -> None:
        super().validate()
        require_units(self.hidden)


def learn_by_mlp(config: MLPOptions, run: Run, stream: Stream) -> Together:
    """Learn the stream with the network that the options say, all seeds side by side."""

    def network(stream: Stream, replicas: int) -> MLP:
        sizes = (stream.train.shape[1], *config.hidden)
        everywhere = config.plastic == "all"
        return MLP(sizes, stream.units, replicas, config.head, config.eta, config.alpha, config.zero_head, everywhere)

    return learn(config, run, stream, network)
