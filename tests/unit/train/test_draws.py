import hashlib

import pytest
import torch

from cnnlab.data import Augment, Step
from cnnlab.nets.spec import NetSpec, layer
from cnnlab.train import draws
from tests.unit.train.making import SMALL, are_equal, config, ran, weights_of

CPU = torch.device("cpu")


def test_a_seed_is_63_bits_of_a_checksum():
    digest = hashlib.sha256(b"7/order/3").digest()
    assert draws.seed_of(7, "order", 3) == sum(byte << 8 * i for i, byte in enumerate(digest[:8])) // 2


def test_seeds_differ_by_purpose_number_and_seed():
    made = {draws.seed_of(seed, what, n) for seed in range(20) for what in ("order", "dropout") for n in range(20)}
    assert len(made) == 800
    assert all(0 <= seed < 2**63 for seed in made)


def test_generators_of_one_purpose_draw_alike():
    first, second = (torch.rand(5, generator=draws.generator(1, "order", 2)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, torch.rand(5, generator=draws.generator(1, "order", 3)))


def test_global_draws_are_borrowed_and_given_back():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with draws.global_draws(3, CPU):
            drawn.append(torch.rand(4))
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), before)


def test_global_draws_are_given_back_after_a_failure():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), draws.global_draws(3, CPU):
        raise ZeroDivisionError(torch.rand(4))
    assert torch.equal(torch.get_rng_state(), before)


NOISY = {
    "dropout": layer("dropout", p=0.5),
    "dropout2d": layer("dropout2d", p=0.5),
    "stochastic_depth": layer("stochastic_depth", p=0.5),
}


@pytest.mark.parametrize("kind", NOISY)
def test_a_run_leaves_the_global_generator_alone_and_does_not_depend_on_it(kind):
    layers = [one for one in SMALL.layers if not one.kind.startswith("dropout")]
    net = NetSpec("Noisy", (1, 28, 28), (*layers[:3], NOISY[kind], *layers[3:]))
    chosen = config(net=net, epochs=1, augment=Augment((Step("flip"), Step("mixup"))))
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        training, _ = ran(chosen)
        assert torch.equal(torch.get_rng_state(), before)
        made.append(weights_of(training))
    assert are_equal(*made)


def test_dropout_drops_other_units_in_each_step():
    seeds = {draws.seed_of(0, "dropout", step) for step in range(1000)}
    assert len(seeds) == 1000
