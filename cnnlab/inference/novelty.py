"""Does this look like anything that the net was trained on? How its logits stand among those of pictures it knows.

A net must choose among its classes even where none fits, and the probabilities add up to 1 all the same. Three numbers
say more, each the larger the more familiar a picture looks:

    largest probability   Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution Examples
                          in Neural Networks, ICLR 2017
    largest logit         Hendrycks et al., Scaling Out-of-Distribution Detection for Real-World Settings, ICML 2022
    negative energy       T · log Σ_k exp(z_k / T): Liu et al., Energy-based Out-of-distribution Detection, NeurIPS
                          2020, equation 4 with the sign turned, and T = 1

No threshold is drawn here: what is told is how many of the pictures the net was judged by look as strange or stranger.
A familiar number is no proof: nets are often sure of pictures that are nothing they know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab.images import Preprocessing, RgbImage

_FEW = 0.05
_SHARES = np.concatenate([np.arange(50) / 1000, np.arange(5, 101) / 100])
"""At which quantiles are kept: every 0.1 % up to 5 %, where strange pictures lie, then every 1 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Familiarity:
    """A number that is the larger the more a picture looks like those the net knows.

    Attributes:
        label: Name shown to people.
        about: What it is, in a sentence for people.
        equation: In KaTeX.
        paper: Authors, title, where, year.
        url: Of the paper.
        of: Logits (N, classes) → (N,).
    """

    label: str
    about: str
    equation: str
    paper: str
    url: str
    of: Callable[[NDArray[np.floating]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a number spreads over the pictures a net was judged by, as quantiles.

    Attributes:
        count: Pictures.
        values: Quantiles, ascending: every 0.1 % from 0 to 5 %, then every 1 % to 100 %.
    """

    count: int
    values: tuple[float, ...]

    def share_below(self, value: float) -> float:
        """Share of the pictures, 0 to 1, whose number is as low as this one or lower; between quantiles by line."""
        if value < self.values[0]:
            return 0.0
        # Of equal values the last counts: pictures as low as this one are among them.
        above = int(np.searchsorted(self.values, value, side="right"))
        if above == len(self.values):
            return 1.0
        before, after = self.values[above - 1], self.values[above]
        part = (value - before) / (after - before)
        return float(_SHARES[above - 1] + part * (_SHARES[above] - _SHARES[above - 1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How strange a picture looks to a net by one number.

    Attributes:
        key: Of `FAMILIARITIES`.
        value: The number.
        share_below: Share of the pictures the net was judged by that look as strange or stranger, 0 to 1.
        said: The same in a sentence.
    """

    key: str
    value: float
    share_below: float
    said: str


def spread(values: NDArray[np.floating]) -> Spread:
    """The quantiles of a number over pictures, at least one."""
    quantiles = np.quantile(values.astype(np.float64), _SHARES)
    return Spread(count=len(values), values=tuple(quantiles.tolist()))


def spreads_of(logits: NDArray[np.floating]) -> dict[str, Spread]:
    """How each of `FAMILIARITIES` spreads over the pictures a net is judged by.

    Args:
        logits: (N, classes), of pictures that it did not learn from.
    """
    return {key: spread(familiarity.of(logits)) for key, familiarity in FAMILIARITIES.items()}


def judge(logits_k: NDArray[np.floating], known: Mapping[str, Spread], pictures: str) -> tuple[Verdict, ...]:
    """How strange a picture looks, by each number of which the spread is known.

    Args:
        logits_k: Of the picture, (classes,).
        known: Key of `FAMILIARITIES` → how it spreads over known pictures.
        pictures: What these are called: "validation pictures".
    """
    verdicts = []
    for key, around in known.items():
        familiarity = FAMILIARITIES[key]
        value = float(familiarity.of(logits_k[None])[0])
        share = around.share_below(value)
        said = _said(familiarity.label, value, share, around, pictures)
        verdicts.append(Verdict(key=key, value=value, share_below=share, said=said))
    return tuple(verdicts)


def separation(familiar: NDArray[np.floating], strange: NDArray[np.floating]) -> float:
    """How often a known picture looks more familiar than a strange one, 0 to 1: the area under the ROC curve.

    0.5 is what chance gives. Hanley and McNeil 1982: the statistic of Mann and Whitney over the number of pairs.

    Args:
        familiar: The number for pictures of the kind that the net knows, (N,), at least one.
        strange: For pictures of another kind, (M,), at least one.
    """
    ordered = np.sort(familiar)
    below = np.searchsorted(ordered, strange, side="left")
    not_above = np.searchsorted(ordered, strange, side="right")
    wins = len(ordered) - not_above
    ties = not_above - below
    return float((wins + ties / 2).mean() / len(ordered))


def blank_pictures(preprocessing: Preprocessing) -> dict[str, RgbImage]:
    """Pictures of nothing, at the size at which the net would crop them: what it is sure of here it makes up.

    Returns:
        Label → picture: white, black, grey, the mean colour of the pictures it was trained on, and noise.
    """
    height, width = _size(preprocessing)
    mean = [round(255 * channel) for channel in preprocessing.mean]
    if preprocessing.channels == "bgr":
        mean.reverse()
    colours = {"White": [255], "Black": [0], "Grey": [128], "Mean colour": np.clip(mean, 0, 255)}
    blank = {
        label: RgbImage(np.broadcast_to(np.asarray(colour, dtype=np.uint8), (height, width, 3)), name=label)
        for label, colour in colours.items()
    }
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return blank | {"Noise": RgbImage(noise, name="Noise")}


def _size(preprocessing: Preprocessing) -> tuple[int, int]:
    if isinstance(preprocessing.resize, int):
        return preprocessing.resize, preprocessing.resize
    return preprocessing.resize or preprocessing.crop or (64, 64)


def _said(label: str, value: float, share: float, around: Spread, pictures: str) -> str:
    all_of_them = f"of the {around.count:,} {pictures}"
    number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    as_low = f"a {label.lower()} of {number} or lower".replace("-", "−")
    if share == 0:
        return f"None {all_of_them} has {as_low}."
    if share == 1:
        return f"All {all_of_them} have {as_low}."
    percent = 100 * share
    if percent < 0.1:
        amount = "Fewer than 0.1 %"
    else:
        amount = f"{percent:.1f} %" if percent < 10 or percent > 99.5 else f"{percent:.0f} %"
    only = "Only " if percent >= 0.1 and share < _FEW else ""
    return f"{only}{amount} {all_of_them} have {as_low}."


def _energy(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    exact = logits.astype(np.float64)
    top = exact.max(axis=1, keepdims=True)
    return top[:, 0] + np.log(np.exp(exact - top).sum(axis=1))


FAMILIARITIES: dict[str, Familiarity] = {
    "max_logit": Familiarity(
        label="Largest logit",
        about="The evidence for the class that is named, before it is divided among the classes.",
        equation=r"\max_k z_k",
        paper="Hendrycks et al., Scaling Out-of-Distribution Detection for Real-World Settings, ICML 2022",
        url="https://arxiv.org/abs/1911.11132",
        of=lambda logits: logits.max(axis=1).astype(np.float64),
    ),
    "energy": Familiarity(
        label="Negative energy",
        about="The evidence for all classes together; high where the net has seen pictures like this one.",
        equation=r"-E = \log \sum_k e^{z_k}",
        paper="Liu et al., Energy-based Out-of-distribution Detection, NeurIPS 2020",
        url="https://arxiv.org/abs/2010.03759",
        of=_energy,
    ),
    "max_softmax": Familiarity(
        label="Largest probability",
        about="The confidence itself; it compares the classes with each other, and not with pictures that are known.",
        equation=r"\max_k \frac{e^{z_k}}{\sum_j e^{z_j}}",
        paper="Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural "
        "Networks, ICLR 2017",
        url="https://arxiv.org/abs/1610.02136",
        of=lambda logits: np.exp(logits.max(axis=1).astype(np.float64) - _energy(logits)),
    ),
}
