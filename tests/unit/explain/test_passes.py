import pytest
import torch
from torch import Tensor, nn

from cnnlab.errors import InputRejected, RunFailed, Unsupported
from cnnlab.explain.passes import logits_with, look
from cnnlab.explain.targets import Contrast
from cnnlab.inference import share
from tests.unit.explain.nets import PICTURE, branches, pictures, set_to, small, two_channels, without_maps


def test_gradients_are_those_that_plain_autograd_finds():
    model = small(in_place=False)
    features = model.get_submodule("features")(pictures())
    features.retain_grad()
    model.get_submodule("head")(features)[[0, 1], [3, 1]].sum().backward()
    found = look(model, pictures(), ["features"]).gradients([3, 1], "features")
    torch.testing.assert_close(found, features.grad)


def test_gradients_of_all_classes_come_from_one_pass():
    seen = look(two_channels(), PICTURE, ["relu", "conv"])
    assert seen.gradients(0, "relu")[0].mean((1, 2)).tolist() == [0.5, -0.25]
    assert seen.gradients(1, "relu")[0].mean((1, 2)).tolist() == [0.0, 1.0]
    assert seen.gradients(Contrast(0, 1), "relu")[0].mean((1, 2)).tolist() == [0.5, -1.25]
    # Before the ReLU only what is positive has a say.
    assert seen.gradients(0, "conv").tolist() == [[[[0.5, 0], [0.5, 0]], [[0, -0.25], [0, -0.25]]]]


def test_the_graph_does_not_reach_in_front_of_the_layer():
    seen = look(small().train(), pictures(), ["features.2", "features.4"])
    assert seen.activation("features.2").is_leaf
    assert not seen.activation("features.4").is_leaf
    assert not seen.x.requires_grad


def test_a_layer_that_the_score_does_not_depend_on_has_no_gradient():
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.aside = nn.Conv2d(1, 2, 1)
            self.linear = nn.Linear(1, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.aside(x)
            return self.linear(x.mean((2, 3)))

    model = Aside().eval()
    assert not look(model, PICTURE, ["aside"]).gradients(0, "aside").any()
    assert logits_with(share(model), PICTURE, "aside", lambda output: output.repeat(5, 1, 1, 1)).shape == (1, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_gradients_and_maps_are_float32_whatever_the_net_s_precision(dtype: torch.dtype):
    seen = look(small().to(dtype), pictures(), ["features"])
    assert seen.logits.dtype == dtype
    expected = look(small(), pictures(), ["features"])
    for found, reference in (
        (seen.gradients(1, "features"), expected.gradients(1, "features")),
        (seen.maps("features"), expected.maps("features")),
    ):
        assert found.dtype == torch.float32
        # A value close to zero in front of a ReLU may fall on its other side: that many cells may differ.
        is_close = torch.isclose(found, reference, rtol=0.1, atol=0.02)
        assert is_close.float().mean() > 0.95


def test_a_caller_without_gradients_has_them_all_the_same():
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            x = PICTURE.clone()
            seen = look(two_channels(), x, ["relu"])
            assert seen.gradients(0, "relu")[0].mean((1, 2)).tolist() == [0.5, -0.25]


def test_a_net_that_answers_nan_is_said_to_be_broken():
    model = two_channels()
    with pytest.raises(RunFailed, match="Choose other weights"):
        look(model, PICTURE * torch.nan)


@pytest.mark.parametrize("in_place", [True, False])
def test_the_pictures_stay_as_they_are_where_the_first_layer_works_in_place(in_place: bool):
    model, x = share(small(in_place=in_place, is_clipped=True)), pictures(1)
    seen = look(model, x, ["features"])
    batch = torch.ones(20, 1, 1, 1)
    seen.logits_with("features", lambda output: output * batch)
    assert torch.equal(x, pictures(1))
    assert torch.equal(seen.x, pictures(1))


def test_the_pictures_stay_as_they_are_where_a_branch_goes_around_the_layer():
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.clip, self.conv, self.linear = nn.Hardtanh(inplace=True), nn.Conv2d(3, 2, 1), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.clip(x)
            return self.linear(torch.cat([x, self.conv(x)], dim=1).mean((2, 3)))

    model, x = share(Around().eval()), pictures(1)
    factors = torch.linspace(0, 2, 20)[:, None, None, None]
    together = logits_with(model, x, "conv", lambda output: output * factors)
    assert torch.equal(x, pictures(1))
    one_by_one = [logits_with(model, x, "conv", lambda output, by=by: output * by) for by in factors]
    torch.testing.assert_close(together, torch.cat(one_by_one))


def test_a_step_of_an_optimiser_between_the_pass_and_its_gradients_changes_nothing():
    model = small().train()
    before, expected = look(model, pictures(), ["features.2"]), look(model, pictures(), ["features.2"])
    gradients = expected.gradients(1, "features.2")
    optimiser = torch.optim.SGD(model.parameters(), lr=10.0)
    model(pictures()).square().sum().backward()
    optimiser.step()
    assert torch.equal(before.gradients(1, "features.2"), gradients)
    assert torch.equal(before.logits_with("features.0", torch.clone), expected.logits)
    assert not torch.equal(look(model, pictures(), ["features.2"]).gradients(1, "features.2"), gradients)


def test_layers_without_places_are_refused():
    with pytest.raises(InputRejected, match="makes 2 numbers"):
        look(two_channels(), PICTURE, ["linear"]).maps("linear")
    with pytest.raises(InputRejected, match="not in this pass; it holds relu"):
        look(two_channels(), PICTURE, ["relu"]).maps("conv")
    with pytest.raises(Unsupported, match="without convolutions"):
        look(without_maps(), pictures(), ["1"]).maps("1")


def test_a_net_without_logits_is_refused():
    with pytest.raises(InputRejected, match="one row of logits"):
        look(nn.Conv2d(1, 2, 1).eval(), PICTURE)


def test_the_net_answers_to_what_a_layer_makes_instead():
    seen = look(two_channels(), PICTURE)
    torch.testing.assert_close(seen.logits_with("relu", set_to(3.0)), torch.tensor([[3.0, 12.0]]))
    assert not seen.logits_with("relu", set_to(3.0)).requires_grad


def test_the_layers_in_front_run_once_for_a_whole_batch_of_edits():
    model, runs = two_channels(), []
    model.get_submodule("conv").register_forward_hook(lambda _module, _args, output: runs.append(len(output)))
    share(model)
    batch = torch.arange(5.0)[:, None, None, None]
    logits = logits_with(model, PICTURE, "relu", lambda output: output * batch)
    torch.testing.assert_close(logits, torch.arange(5.0)[:, None] * torch.tensor([[0.5, 6.0]]))
    assert runs == [1]


@pytest.mark.parametrize("layer", ["stem", "left", "right", "after", "relu", "relu#2"])
def test_branches_that_go_around_the_layer_are_given_as_many_pictures(layer: str):
    model, x = share(branches()), pictures(1)
    factors = torch.linspace(0, 2, 40)[:, None, None, None]  # more than are run at a time
    expected = torch.cat([logits_with(model, x, layer, lambda output, by=by: output * by) for by in factors])
    together = logits_with(model, x, layer, lambda output: output * factors)
    torch.testing.assert_close(together, expected)


def test_an_edit_that_does_not_fit_is_not_hidden():
    with pytest.raises(RuntimeError, match="shape"):
        logits_with(share(two_channels()), PICTURE, "pool", lambda output: output[:, :1])
