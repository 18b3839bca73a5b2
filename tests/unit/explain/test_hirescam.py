import torch

from cnnlab.explain import METHODS, look
from tests.unit.explain.nets import PICTURE, pictures, small, two_channels

HIRESCAM = METHODS["hirescam"]


def test_each_cell_is_multiplied_with_its_own_gradient():
    assert HIRESCAM.run(two_channels(), PICTURE, 0, "relu").tolist() == [[[0.5, -0.5], [1.5, -1.0]]]


def test_in_front_of_one_linear_layer_the_map_adds_up_to_the_logit_without_its_bias():
    model = small(linear_head=True)
    seen = look(model, pictures(3), ["features"])
    bias = model.get_submodule("head.1").bias
    assert isinstance(bias, torch.Tensor)
    torch.testing.assert_close(HIRESCAM.of(seen, 1, "features").sum((1, 2)), (seen.logits[:, 1] - bias[1]).detach())
