from cnnlab.explain import METHODS
from tests.unit.explain.nets import PICTURE, two_channels


def test_only_positive_gradients_count_each_at_its_own_cell():
    found = METHODS["layercam"].run(two_channels(), PICTURE, 0, "conv")
    # Gradients before the ReLU: 0.5 in the left column of channel 0; those of channel 1 are negative.
    assert found.tolist() == [[[0.5, 0.0], [1.5, 0.0]]]
    assert METHODS["layercam"].run(two_channels(), PICTURE, 1, "relu").tolist() == [[[0.0, 2.0], [0.0, 4.0]]]
