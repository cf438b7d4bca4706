r"""Learning rules: what a connection remembers of the activity on its two sides.

Every rule is two vectors. With row vectors and ``trace[b, i, j]`` between the pre-synaptic unit i and the
post-synaptic unit j, one step of any of them is

    trace' = clip(trace * retain[:, None, :] + pre[:, :, None] * write[:, None, :])

where ``retain`` and ``write``, both (B, post), depend on the post-synaptic activity alone. So one engine serves every
rule, steps of known activity have a closed form, and a rule of your own is a class with one method:

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class Covariance(Rule):
...     "Only activity above a threshold strengthens a connection (after Sejnowski, 1977)."
...     threshold: float = 0.1
...
...     def vectors(self, post, eta, m=None):
...         return 1 - eta, eta * (post - self.threshold)
>>> Covariance(threshold=0.2)
Covariance(clip=None, threshold=0.2)
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

Vector = Tensor | float


@dataclass(frozen=True)
class Rule(ABC):
    """A plasticity rule: two vectors, and a bound that the trace never leaves (None: no bound).

    ``modulated`` says that ``vectors`` needs the signal m; ``retroactive`` that the vectors drive an eligibility trace
    E and that m gates what passes from E to the trace.
    """

    clip: float | None = None

    modulated: ClassVar[bool] = False
    retroactive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip bounds the size of the trace: expected a positive number or None, got {self.clip}")

    @abstractmethod
    def vectors(self, post: Tensor, eta: Tensor, m: Tensor | None = None) -> tuple[Vector, Vector]:
        """``(retain, write)``, each broadcastable to ``post`` (..., B, O).

        ``eta`` and ``m`` come broadcastable to ``post``: one rate, or one a unit; one signal an episode, or one a unit.
        """


@dataclass(frozen=True)
class Hebb(Rule):
    """Hebb's rule with decay: trace' = (1 - eta) trace + eta pre post (Miconi et al. 2018, eq. 2)."""

    def vectors(self, post: Tensor, eta: Tensor, m: Tensor | None = None) -> tuple[Vector, Vector]:
        return 1 - eta, eta * post


@dataclass(frozen=True)
class Oja(Rule):
    """Oja's rule: trace' = trace + eta post (pre - post trace) (Miconi et al. 2018, eq. 3).

    A silent unit forgets nothing; under constant activity the trace settles at pre / post while 0 < eta post² < 2.
    """

    def vectors(self, post: Tensor, eta: Tensor, m: Tensor | None = None) -> tuple[Vector, Vector]:
        return 1 - eta * post * post, eta * post


@dataclass(frozen=True)
class ClippedHebb(Rule):
    """Hebb's rule held by a hard bound: trace' = clip(trace + eta pre post) (Miconi et al. 2019)."""

    clip: float | None = 1.0

    def vectors(self, post: Tensor, eta: Tensor, m: Tensor | None = None) -> tuple[Vector, Vector]:
        return 1.0, eta * post


@dataclass(frozen=True)
class Modulated(Rule):
    """Simple neuromodulation: trace' = clip(trace + m pre post); the network's own m replaces eta.

    Miconi et al. 2019, arXiv 2002.10585.
    """

    clip: float | None = 1.0
    modulated: ClassVar[bool] = True

    def vectors(self, post: Tensor, eta: Tensor, m: Tensor | None = None) -> tuple[Vector, Vector]:
        if m is None:
            raise ValueError("the modulated rule needs a modulatory signal m, got None")
        return 1.0, m * post


@dataclass(frozen=True)
class Retroactive(Rule):
    """Retroactive neuromodulation: trace' = clip(trace + m E), then E' = (1 - eta) E + eta pre post.

    The vectors are those of the eligibility trace E; the trace takes the old E (Miconi et al. 2019).
    """

    clip: float | None = 1.0
    modulated: ClassVar[bool] = True
    retroactive: ClassVar[bool] = True

    def vectors(self, post: Tensor, eta: Tensor, m: Tensor | None = None) -> tuple[Vector, Vector]:
        return 1 - eta, eta * post


RULES: dict[str, type[Rule]] = {
    "hebb": Hebb,
    "oja": Oja,
    "clipped_hebb": ClippedHebb,
    "modulated": Modulated,
    "retroactive": Retroactive,
}


def as_rule(rule: str | Rule) -> Rule:
    """The rule itself, or the one of that name with its default settings; ValueError where there is none."""
    if isinstance(rule, Rule):
        return rule
    if isinstance(rule, str) and rule in RULES:
        return RULES[rule]()
    raise ValueError(f"unknown rule {rule!r}: expected one of {', '.join(RULES)}, or an instance of plastic.Rule")
