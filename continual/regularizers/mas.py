"""Memory aware synapses."""

from continual.importance import Answer, Batches, output_sensitivity
from continual.regularizers.base import Quadratic


class MAS(Quadratic):
    """penalty = strength · sum_i Omega_i (theta_i - theta*_i)², no factor of 1/2.

    Omega is summed over tasks; each task adds the mean over its samples of |d ||F(x)||² / d theta_i|, F the logits
    (Aljundi et al. 2018, eqs. 2-4, arXiv 1711.09601). theta* is where the last task ended.
    """

    def end_task(self, loader: Batches, answer: Answer | None = None) -> None:
        found = output_sensitivity(self.model, self.parameters, loader, answer)
        before = self.tensors.get("importance", {})
        kept = {name: value + before[name] if before else value for name, value in found.items()}
        self.tensors = {"importance": kept, "anchor": self.here()}
