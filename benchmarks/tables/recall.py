"""Binary patterns and pictures: what was measured."""

import math

from benchmarks.tables.claims import Claim, Claims, read_by_eye
from benchmarks.tables.kinds import ALPHAS, Table

ELSEWHERE = {
    "mnist": "MNIST",
    "omniglot": "Omniglot",
    "scenes": "generated scenes",
    "random": "any half",
    "block": "a square",
    "noise": "any half, noise",
}


def _fifty(run: str) -> tuple[str, str]:
    return f"patterns/{run}:error_rate_at_2000", f"patterns/{run}:error_rate"


def _pictures(run: str, kind: str, way: str = "") -> tuple[str, ...]:
    return tuple(f"images/{run}:{kind}_{metric}{way}" for metric in ("sse", "psnr_hidden", "ssim_hidden"))


_BITS, _FIFTY = "Miconi et al. 2018, arXiv v1, section 4.1", "Miconi et al. 2018, arXiv v1, figure 3"
_PICTURES = "Miconi et al. 2018, arXiv v1, figure 5"

CLAIMS = Claims(
    "Patterns and images: published and measured",
    "Bits: the share with the wrong sign. Pictures: squared error summed over 1,024 pixels, which the paper takes on "
    "training pictures, and we on others.",
    (
        Claim(
            "1,000 bits, 5 patterns, plastic: wrong bits after 200 episodes",
            "less than 0.01 within about 200 episodes, 10 runs",
            _BITS,
            (0, 0.01),
            "patterns/full:error_rate",
            "the test has 10 steps, of which the text says nothing",
            good="low",
        ),
        Claim(
            "50 bits, 2 patterns, plastic: wrong bits after 2,000 episodes",
            "less than 0.01",
            _FIFTY,
            (0, 0.01),
            "patterns/fair:error_rate_at_2000",
            "each pattern is shown once for 3 steps, as the released program is told for this figure; with longer "
            "presentations, which are not the published ones, it gets there (in the table below)",
            good="low",
        ),
        Claim(
            "50 bits, plain network with 2,000 units more: wrong bits",
            "about 0.12 to 0.13 and flat, after 1,000,000 episodes",
            _FIFTY,
            read_by_eye(0.12, 0.13),
            "patterns/fair-rnn:error_rate",
            "after {episodes:,} episodes, 20 minutes of one core; whether it would stay there has not been run",
        ),
        Claim(
            "50 bits, LSTM with 2,000 units more: wrong bits",
            "about 0.01 after 1,000,000 episodes",
            _FIFTY,
            read_by_eye(0.01),
            "patterns/fair-lstm:error_rate",
            "after {episodes:,} episodes, which is what 20 minutes of one core allow",
            good="low",
        ),
        Claim(
            "pictures, one alpha a connection: squared error",
            "about 15, median of 10 runs",
            _PICTURES,
            read_by_eye(15),
            "images/full:test_sse",
            "{episodes:,} episodes, 16 an update, most of them with the last gap alone",
            good="low",
            median=True,
        ),
        Claim(
            "pictures, one alpha for all: squared error",
            "26 to 28, median of 10 runs",
            _PICTURES,
            read_by_eye(26, 28),
            "images/shared:test_sse",
            "{episodes:,} episodes, 16 an update, most of them with the last gap alone. The paper's own course has not "
            "been run, so it is open whether ours is the reason, or the test on other pictures. The command is of an "
            "earlier default; it takes --lr 1e-3 --weight-pace 1 besides now",
            good="low",
            median=True,
        ),
        Claim(
            "pictures: what one alpha for all adds to the error",
            "11 to 13",
            _PICTURES,
            (0, math.inf),
            "images/shared:test_sse",
            minus="images/full:test_sse",
        ),
        Claim(
            "pictures: what a plain network adds to the error",
            "it fails, no figure",
            "Miconi et al. 2018, section 4.3",
            (0, math.inf),
            "images/rnn:test_sse",
            "after {episodes:,} episodes",
            minus="images/full:test_sse",
        ),
        Claim(
            "pictures: what an LSTM adds to the error",
            "it fails, no figure",
            "Miconi et al. 2018, section 4.3",
            (0, math.inf),
            None,
            "10 minutes of one core, in the table below, are too few episodes to say",
        ),
    ),
)
TABLES = (
    Table(
        "Binary patterns",
        "1,000 bits, 5 patterns, one episode an update, error over all bits on fresh episodes; the paper states less "
        "than 1% within about 200 episodes. Seconds are those of a core that other work shared.",
        ("error rate",),
        {
            "one alpha a connection": ("patterns/full",),
            "one alpha for all": ("patterns/shared",),
            "one alpha a connection, eta fixed": ("patterns/fixed-eta",),
        },
    ),
    Table(
        "Binary patterns: 50 bits",
        "2 patterns of 50 bits, which networks without a trace can learn too; one episode an update. The paper "
        "states less than 0.01 within about 2,000 episodes for the plastic network; under the schedule of its "
        "program (one cycle, 3 steps, gaps of 1, 3 steps of test) that does not show here, under a longer one (two "
        "cycles, 6 steps, gaps of 4, 6 of test) it does. Networks without a trace have 2,000 units more, Adam at "
        "3e-5 as published, and the episodes that 20 minutes of one core allow, which other work shared. Chance is "
        "0.25. The curves: [against episodes](results/patterns/fair-episodes.png), [against "
        "seconds](results/patterns/fair-seconds.png), from results/patterns/fair-curves.json.",
        ("error at 2,000 episodes", "error at the end"),
        {
            "plastic, the published schedule": _fifty("fair"),
            "plastic, a longer one": _fifty("fair-long"),
            "plain, 2,000 units more": _fifty("fair-rnn"),
            "LSTM, 2,000 units more": (None, "patterns/fair-lstm:error_rate"),
        },
    ),
    Table(
        "Completing pictures",
        "CIFAR-10 in grey at 32 x 32, three pictures shown three times, half of one hidden; summed squared error "
        "over its 1,024 pixels (each within [-1, 1]) on test pictures; PSNR (dB) and SSIM over the hidden half. "
        "The paper: about 15, and 26 to 28 with one alpha for all, on training pictures. Settings chosen on "
        "training pictures held out; the second row is an earlier choice, tested before, and another had been tested "
        "on one seed before that. The first 115,200 episodes have the last gap alone. The commands of the second and "
        "third row are those of an earlier default, and mean --lr 1e-3 --weight-pace 1 now, which suits one alpha for "
        "all better than the default does. Without a trace nothing can remember "
        "a picture while all units are held at the next one: that row is what weights fill in from the visible half. "
        "The ways that need no learning see the same tests. What the first seed makes of six pictures: "
        "[completions](results/images/completions.png); what it learned: [matrices](results/images/matrices.png).",
        ("SSE", "PSNR", "SSIM"),
        {
            "one alpha a connection": _pictures("full", "test"),
            "the same, weights as fast as alpha": _pictures("one-pace", "test"),
            "one alpha for all": _pictures("shared", "test"),
            "no trace": _pictures("rnn", "test"),
            "LSTM": _pictures("lstm", "test"),
            "the mean of what is shown": _pictures("full", "baseline", "_mean_fill"),
            "the mirrored half": _pictures("full", "baseline", "_mirror"),
        },
    ),
    Table(
        "Completing pictures: how it scales",
        "Pictures of 16 x 16, 32 x 32 and 64 x 64 (from those of 32 x 32), 3,200 training episodes with the last gap "
        "alone: far from done, to compare error and time. SSE is over all pixels, of which a larger picture has more. "
        "4,097 units with one alpha a unit or for all have 4 episodes an update, at a tenth of the rate: with 16, the "
        "memory that the C library keeps grew past 20 GB.",
        ("SSE", "PSNR", "SSIM"),
        {
            f"{side**2 + 1:,} units, {ALPHAS[alpha]}": _pictures(f"scale-{side}-{alpha}", "test")
            for side in (16, 32, 64)
            for alpha in ALPHAS
        },
    ),
    Table(
        "Completing pictures: other sets, other masks",
        "The networks with one alpha a connection of the table above, trained on halves of CIFAR-10 alone, tested "
        "on the test pictures of other sets, and with others of the pixels hidden: any half, a square of half the "
        "area, any half with noise in its place. Summed squared error. Noise, which no training episode had, makes "
        "them worse than the mean of what is shown.",
        tuple(ELSEWHERE.values()),
        {
            "one alpha a connection": tuple(f"images/full:test_sse@{where}" for where in ELSEWHERE),
            "the mean of what is shown": tuple(f"images/full:baseline_sse_mean_fill@{where}" for where in ELSEWHERE),
        },
    ),
)
