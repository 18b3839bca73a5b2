from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cnnlab.nets.comparison import Pair, compare
from cnnlab.nets.summary import LayerFacts, summarize


def facts(*layers: nn.Module) -> tuple[LayerFacts, ...]:
    return summarize(nn.Sequential(*layers), (3, 16, 16))


def kinds(pairs: Sequence[Pair]) -> list[tuple[str | None, str | None]]:
    return [(pair.left and pair.left.kind, pair.right and pair.right.kind) for pair in pairs]


def test_a_net_compared_with_itself_has_no_differences() -> None:
    net = facts(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    assert [pair.changed for pair in compare(net, net)] == [(), (), ()]
    assert [pair.left for pair in compare(net, net)] == [pair.right for pair in compare(net, net)]


def test_a_layer_that_only_one_net_has_stands_alone() -> None:
    plain = facts(nn.Conv2d(3, 4, 3), nn.ReLU())
    normed = facts(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    assert kinds(compare(plain, normed)) == [("Conv2d", "Conv2d"), (None, "BatchNorm2d"), ("ReLU", "ReLU")]


def test_what_a_wider_kernel_changes_is_named() -> None:
    small, large = facts(nn.Conv2d(3, 4, 3), nn.ReLU()), facts(nn.Conv2d(3, 4, 5), nn.ReLU())
    conv, relu = compare(small, large)
    assert set(conv.changed) == {"hyperparameters", "output_shape", "num_params", "macs", "receptive_field"}
    assert set(relu.changed) == {"output_shape", "receptive_field"}


def test_padding_that_keeps_the_size_changes_no_shape() -> None:
    small, large = facts(nn.Conv2d(3, 4, 3, padding=1)), facts(nn.Conv2d(3, 4, 5, padding=2))
    (pair,) = compare(small, large)
    assert "output_shape" not in pair.changed
    assert "num_params" in pair.changed


LAYERS = {
    "conv": lambda: nn.Conv2d(3, 3, 3, padding=1),
    "relu": nn.ReLU,
    "norm": lambda: nn.BatchNorm2d(3),
    "tanh": nn.Tanh,
}
NETS = st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=8)


@given(left=NETS, right=NETS)
def test_every_layer_of_both_nets_appears_once_and_in_order(left: list[str], right: list[str]) -> None:
    one, two = facts(*(LAYERS[name]() for name in left)), facts(*(LAYERS[name]() for name in right))
    pairs = compare(one, two)
    assert [pair.left.index for pair in pairs if pair.left] == list(range(len(left)))
    assert [pair.right.index for pair in pairs if pair.right] == list(range(len(right)))
    assert all(pair.left.kind == pair.right.kind for pair in pairs if pair.left and pair.right)
