"""Two nets side by side: which layers they share, which changed, which only one of them has."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from cnnlab.nets.summary import LayerFacts

COMPARED = ("kind", "hyperparameters", "output_shape", "num_params", "macs", "receptive_field")
"""Fields of `LayerFacts` in which two layers can differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A line of the comparison.

    Args:
        left: Layer of the first net, or None where it has no counterpart.
        right: Layer of the second net, likewise.
        changed: Names among `COMPARED` in which the two differ; empty for equal layers and for lone ones.
    """

    left: LayerFacts | None = None
    right: LayerFacts | None = None
    changed: tuple[str, ...] = ()


def compare(left: Sequence[LayerFacts], right: Sequence[LayerFacts]) -> tuple[Pair, ...]:
    """Align two nets, as a text comparison aligns lines.

    Layers that are the same in kind, settings and output are found first; between them, layers of the same kind are
    put side by side and their differences named.
    """
    return _aligned(left, right, [_whole, lambda facts: facts.kind])


def _whole(facts: LayerFacts) -> Hashable:
    return facts.kind, str(facts.hyperparameters), facts.output_shape


def _aligned(
    left: Sequence[LayerFacts], right: Sequence[LayerFacts], keys: list[Callable[[LayerFacts], Hashable]]
) -> tuple[Pair, ...]:
    if not keys:
        return tuple(Pair(left=one) for one in left) + tuple(Pair(right=one) for one in right)
    key, *others = keys
    # Numbers, because SequenceMatcher hashes and compares each item very often.
    numbers: dict[Hashable, int] = {}
    one, other = ([numbers.setdefault(key(facts), len(numbers)) for facts in net] for net in (left, right))
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    pairs: list[Pair] = []
    for tag, from_left, to_left, from_right, to_right in matcher.get_opcodes():
        some, more = left[from_left:to_left], right[from_right:to_right]
        if tag == "equal":
            pairs += (_pair(one, other) for one, other in zip(some, more, strict=True))
        else:
            pairs += _aligned(some, more, others)
    return tuple(pairs)


def _pair(left: LayerFacts, right: LayerFacts) -> Pair:
    changed = tuple(name for name in COMPARED if getattr(left, name) != getattr(right, name))
    return Pair(left=left, right=right, changed=changed)
