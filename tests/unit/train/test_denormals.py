import pytest
import torch

from cnnlab.train.denormals import without_denormals

TINY = 1e-40


def are_zero():
    return bool((torch.full((8,), TINY) * 1.0 == 0).all())


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture
def able():
    if not torch.set_flush_denormal(False):
        pytest.skip("This processor cannot take such numbers as zero.")


@pytest.mark.usefixtures("able")
def test_tiny_numbers_are_zero_inside_and_themselves_again_afterwards():
    assert not are_zero()
    with without_denormals():
        assert are_zero()
    assert not are_zero()


@pytest.mark.usefixtures("able")
def test_also_after_a_failure_they_are_themselves_again():
    with pytest.raises(ZeroDivisionError), without_denormals():
        raise ZeroDivisionError
    assert not are_zero()


@pytest.mark.usefixtures("able")
def test_who_has_set_it_before_finds_it_set():
    torch.set_flush_denormal(True)
    with without_denormals(), without_denormals():
        assert are_zero()
    assert are_zero()


@pytest.mark.usefixtures("able")
def test_with_more_threads_nothing_is_set_as_not_all_would_follow():
    torch.set_num_threads(2)
    with without_denormals():
        assert not are_zero()
