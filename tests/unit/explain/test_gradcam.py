import torch

from cnnlab.explain import METHODS, Contrast, look
from cnnlab.explain.gradcam import channel_weights
from tests.unit.explain.nets import PICTURE, two_channels

GRADCAM = METHODS["gradcam"]


def test_channels_are_weighted_by_their_mean_gradient():
    seen = look(two_channels(), PICTURE, ["relu"])
    assert channel_weights(seen, 0, "relu").tolist() == [[0.5, -0.25]]  # 2 and −1 over four cells each
    assert GRADCAM.of(seen, 0, "relu").tolist() == [[[0.5, 0.0], [1.5, 0.0]]]
    assert GRADCAM.of(seen, 1, "relu").tolist() == [[[0.0, 2.0], [0.0, 4.0]]]


def test_a_contrast_weighs_one_class_against_the_other():
    # Weights 0.5 − 0 and −0.25 − 1.
    assert GRADCAM.run(two_channels(), PICTURE, Contrast(0, 1), "relu").tolist() == [[[0.5, 0.0], [1.5, 0.0]]]
    assert GRADCAM.run(two_channels(), PICTURE, Contrast(1, 0), "relu").tolist() == [[[0.0, 2.5], [0.0, 5.0]]]


def test_before_the_relu_negative_values_count_with_their_sign():
    # Mean gradients 0.25 and −0.125, maps x and −x: the map is ReLU(0.375 x).
    torch.testing.assert_close(
        GRADCAM.run(two_channels(), PICTURE, 0, "conv"), torch.tensor([[[0.375, 0.0], [1.125, 0.0]]])
    )
