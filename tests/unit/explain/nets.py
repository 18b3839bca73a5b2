"""Small nets to explain, and what tells whether one was left as it was."""

import contextvars
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def two_channels() -> nn.Module:
    """Channel 0 is the picture where it is positive, channel 1 where it is negative; of 2 × 2 px, 1 channel.

    The logits are 2 · mean(channel 0) − mean(channel 1), and 4 · mean(channel 1).
    """
    conv, linear = nn.Conv2d(1, 2, 1, bias=False), nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, -1.0])[:, None, None, None])
        linear.weight.copy_(torch.tensor([[2.0, -1.0], [0.0, 4.0]]))
    layers = {
        "conv": conv,
        "relu": nn.ReLU(inplace=True),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "linear": linear,
    }
    return nn.Sequential(OrderedDict(layers)).eval()


PICTURE = torch.tensor([[[[1.0, -2.0], [3.0, -4.0]]]])
"""What `two_channels` looks at: channel 0 is (1, 0; 3, 0), channel 1 is (0, 2; 0, 4), the logits are 0.5 and 6."""


def small(*, in_place: bool = True, linear_head: bool = False, is_clipped: bool = False) -> nn.Module:
    """Two convolutions with batch normalisation for pictures of 12 × 12 px, 3 channels; 4 classes; always the same.

    Its layer "features.4" makes 6 maps of 6 × 6 cells, after a ReLU. `linear_head` puts one linear layer behind, in
    place of a pooling and two. `is_clipped` puts a layer in front that clips the picture, in place where the others
    work so: that overwrites what the net was given.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(92)  # with which Grad-CAM finds something for each class
        features = nn.Sequential(
            nn.Conv2d(3, 5, 3, padding=1),
            nn.ReLU(inplace=in_place),
            nn.Conv2d(5, 6, 3, padding=1, stride=2),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=in_place),
        )
        if linear_head:
            head = nn.Sequential(nn.Flatten(), nn.Linear(6 * 6 * 6, 4))
        else:
            head = nn.Sequential(
                nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 16), nn.ReLU(inplace=in_place), nn.Linear(16, 4)
            )
        front = {"clip": nn.Hardtanh(inplace=in_place)} if is_clipped else {}
        model = nn.Sequential(OrderedDict(**front, features=features, head=head))
        for each in model.modules():
            if isinstance(each, nn.BatchNorm2d):
                nn.init.uniform_(each.weight, 0.5, 1.5)
                nn.init.normal_(each.bias)
    return model.eval()


def pictures(count: int = 2, side: int = 12) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(5))


class Branches(nn.Module):
    """Two branches that meet by concatenation, as in GoogLeNet, and one that is added."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 3, 1)
        self.right = nn.Conv2d(4, 3, 3, padding=1)
        self.after = nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        x = self.relu(torch.cat([self.left(x), self.right(x)], dim=1))
        x = self.relu(x + self.after(x))
        return self.head(x.mean((2, 3)))


def branches() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return Branches().eval()


def without_maps() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(432, 8), nn.ReLU(), nn.Linear(8, 4)).eval()


def state_of(model: nn.Module) -> dict[str, Any]:
    """All of a model that explaining it could change; equal if and only if nothing did."""
    state: dict[str, Any] = {}
    for name, module in model.named_modules():
        state[f"{name} is"] = (id(module), module.training, getattr(module, "inplace", None))
        for attribute, value in vars(module).items():
            if attribute.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")):
                state[f"{name} {attribute}"] = [(key, id(hook)) for key, hook in value.items()]
    for name, parameter in model.named_parameters():
        gradient = None if parameter.grad is None else parameter.grad.flatten().tolist()
        state[f"{name} asks"] = (id(parameter), parameter.requires_grad, gradient)
    for name, tensor in model.state_dict().items():
        state[f"{name} holds"] = (tensor.data_ptr(), tensor.flatten().tolist())
    return state


def state_of_thread() -> tuple[Any, ...]:
    """All that code in a context could leave behind there."""
    asked = [str(name) for name, value in contextvars.copy_context().items() if "cnnlab" in name.name and value]
    modes = torch.overrides._get_current_function_mode_stack()
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), asked, modes


def set_to(values: float | Tensor) -> Callable[[Tensor], Tensor]:
    """An edit: the layer makes these."""
    return lambda output: torch.zeros_like(output) + values
