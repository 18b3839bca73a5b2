import copy

import pytest
import torch
from torch import nn, optim

from cnnlab.train.config import TrainConfig
from cnnlab.train.optimizers import averaged, optimizer_of

PLAIN = {
    "sgd": lambda p: optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.01, fused=False, foreach=False),
    "nesterov": lambda p: optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=0.01, foreach=False),
    "bare": lambda p: optim.SGD(p, 0.05, fused=False, foreach=False),
    "adam": lambda p: optim.Adam(p, 0.05, weight_decay=0.01, fused=False, foreach=False),
    "adamw": lambda p: optim.AdamW(p, 0.05, weight_decay=0.01, fused=False, foreach=False),
    "rmsprop": lambda p: optim.RMSprop(p, 0.05, momentum=0.9, weight_decay=0.01, foreach=False),
}
CHOSEN = {
    "sgd": {"optimizer": "sgd"},
    "nesterov": {"optimizer": "sgd", "nesterov": True},
    "bare": {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw"},
    "rmsprop": {"optimizer": "rmsprop"},
}


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 5, 1),
        nn.Flatten(),
        nn.Linear(180, 4),
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "channels last"])
@pytest.mark.parametrize("name", PLAIN)
def test_five_steps_are_those_of_pytorchs_plain_form(name, layout):
    x, labels = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4
    config = TrainConfig(**{"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01} | CHOSEN[name])
    ours, theirs = net().to(memory_format=layout), net()
    for model, optimizer in (
        (ours, optimizer_of(config, ours.parameters())),
        (theirs, PLAIN[name](list(theirs.parameters()))),
    ):
        batch = x.contiguous(memory_format=layout) if model is ours else x
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch), labels).backward()
            optimizer.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", PLAIN)
def test_given_the_same_gradients_the_fused_form_agrees_to_rounding(name):
    config = TrainConfig(**{"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01} | CHOSEN[name])
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(7, 5, 3, 3, generator=generator)
    ours = nn.Parameter(start.clone(memory_format=torch.channels_last))
    theirs = nn.Parameter(start.clone())
    steppers = optimizer_of(config, [ours]), PLAIN[name]([theirs])
    for _ in range(5):
        gradient = torch.randn(start.shape, generator=generator)
        ours.grad, theirs.grad = gradient.contiguous(memory_format=torch.channels_last), gradient
        for stepper in steppers:
            stepper.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_those_that_have_a_fused_form_use_it(name):
    optimizer = optimizer_of(TrainConfig(optimizer=name), [nn.Parameter(torch.zeros(2))])
    assert optimizer.defaults["fused"] is True


def test_a_running_average_by_hand():
    average, model = nn.Linear(1, 1), nn.Linear(1, 1)
    with torch.no_grad():
        for parameter in (*average.parameters(), *model.parameters()):
            parameter.zero_()
    for step, value in enumerate((1.0, 2.0, 3.0)):
        with torch.no_grad():
            model.weight.fill_(value)
        averaged(average, model, 0.15, step)
    # Kept: 1/10, then 0.15, for 2/11 and 3/12 are above it.
    first = 0.1 * 0 + 0.9 * 1
    second = 0.15 * first + 0.85 * 2
    assert average.weight.item() == pytest.approx(0.15 * second + 0.85 * 3)
    assert average.bias.item() == 0


def test_the_average_of_what_stays_is_what_stays_and_statistics_are_taken_over():
    model = net()
    average = copy.deepcopy(model)
    model.train()(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)))
    for step in range(3):
        averaged(average, model, 0.9, step)
    for name, value in model.state_dict().items():
        assert torch.equal(average.state_dict()[name], value), name
    assert average[1].running_mean is not model[1].running_mean
