"""The part of a script that makes the net, and the teacher where there is one."""

import functools
import json
import re
from dataclasses import dataclass

import torch

from cnnlab.errors import InputRejected
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.spec import NetSpec, build, to_pytorch
from cnnlab.nets.weights import bundled_weights
from cnnlab.settings import data_dir
from cnnlab.train import checkpoints
from cnnlab.train.config import TrainConfig
from cnnlab.train.script_slicing import Slices

_INITIALISE = {
    "he": """\
# He et al., Delving deep into rectifiers, 2015, equation 10; the last layer gets a tenth, to start undecided.
with torch.no_grad():
    draws = torch.Generator().manual_seed(SEED)
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer in layers:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=draws)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    layers[-1].weight.mul_(0.1)
""",
    "xavier": """\
# Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, equation 16.
with torch.no_grad():
    draws = torch.Generator().manual_seed(SEED)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=draws)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
""",
    "default": """\
# As PyTorch does by itself, but from a generator of our own.
with torch.no_grad():
    draws = torch.Generator().manual_seed(SEED)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=draws)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.weight[0].numel())
                nn.init.uniform_(layer.bias, -bound, bound, generator=draws)
""",
}

_READ = '''\
def read_weights(path):
    """The tensors in a safetensors file: the header's length, the header in JSON, then plain numbers."""
    content = Path(path).read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    kinds = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
    found = {}
    for name, one in json.loads(content[8:begin]).items():
        if name != "__metadata__":
            first, last = (begin + place for place in one["data_offsets"])
            numbers = torch.frombuffer(bytearray(content[first:last]), dtype=kinds[one["dtype"]])
            found[name] = numbers.view(one["shape"])
    return found
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """Attributes: the net, the file of its weights, and where that lies, in words."""

    net: str | NetSpec
    file: str
    origin: str


def net(config: TrainConfig, imports: set[str], slices: Slices) -> str:
    """Makes `model`, and `teacher` where there is one.

    Raises:
        InputRejected: The weights to start from, or the teacher, are not to be found.
    """
    imports |= {"import torch", "from torch import nn"}
    parts = [_made("model", config.net, imports, slices), _initialised(config, imports)]
    if config.start_from or config.teacher:
        imports |= {"import json", "from pathlib import Path"}
        parts.insert(0, _READ + "\n")
    if config.start_from:
        parts.append(_taken_over(_trained(config.start_from)))
    if config.dropout is not None:
        parts.append(_with_dropout(config.dropout))
    if config.teacher:
        parts.append(_teacher(_trained(config.teacher), imports, slices))
    if config.freeze_to:
        parts.append(_frozen(config.freeze_to))
    return "\n".join(parts)


def has_dropout(config: TrainConfig) -> bool:
    """Whether the net draws random numbers while it learns."""
    with torch.device("meta"):
        model = ARCHITECTURES[config.net].build() if isinstance(config.net, str) else build(config.net)
    # By name, as in the loop: StochasticDepth is torchvision's.
    kinds = {type(module).__name__ for module in model.modules()}
    return any("Dropout" in kind or kind == "StochasticDepth" for kind in kinds)


def _made(name: str, net: str | NetSpec, imports: set[str], slices: Slices) -> str:
    arguments = "num_classes=len(CLASSES), in_channels=pictures.shape[3]"
    if isinstance(net, NetSpec):
        return _of_spec(name, net, imports)
    make = ARCHITECTURES[net].build
    if isinstance(make, functools.partial):
        first, *_ = make.args
        called = f'{slices.take(make.func.__module__, make.func.__name__)}("{first}", {arguments})'
    else:
        called = f"{slices.take(make.__module__, make.__qualname__)}({arguments})"
    return f"{name} = {called}\n"


def _of_spec(name: str, spec: NetSpec, imports: set[str]) -> str:
    text = to_pytorch(spec)
    if text.startswith('"""'):
        text = text.split("\n\n", 1)[1]
    lines = text.splitlines()
    imports |= {line for line in lines if re.match(r"(import|from) ", line)}
    body = "\n".join(line for line in lines if not re.match(r"(import|from) ", line)).strip()
    return re.sub(r"^model = ", f"{name} = ", body, flags=re.MULTILINE) + "\n"


def _initialised(config: TrainConfig, imports: set[str]) -> str:
    if config.initialisation == "default":
        imports.add("import math")
    return _INITIALISE[config.initialisation]


def _taken_over(source: _Trained) -> str:
    return f"""\
# {source.origin}
own, trained = model.state_dict(), read_weights("{source.file}")
model.load_state_dict({{name: trained[name] if trained[name].shape == own[name].shape else own[name] for name in own}})
"""


def _with_dropout(rate: float) -> str:
    return f"""\
for module in model.modules():
    if isinstance(module, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
        module.p = {rate!r}
"""


def _teacher(source: _Trained, imports: set[str], slices: Slices) -> str:
    return (
        _made("teacher", source.net, imports, slices)
        + f"""\
# {source.origin}
teacher.load_state_dict(read_weights("{source.file}"))
teacher.eval()
"""
    )


def _frozen(last: str) -> str:
    last = json.dumps(last, ensure_ascii=False)
    return f"""\
# These layers stay as they are.
names = [name for name, module in model.named_modules() if name and not [*module.children()]]
end = max(i for i, name in enumerate(names) if name == {last} or name.startswith({last} + "."))
frozen = [model.get_submodule(name) for name in names[: end + 1]]
for module in frozen:
    module.requires_grad_(False)
"""


def _trained(source: str) -> _Trained:
    """What "weights:KEY" or "run:ID@EPOCH" stands for."""
    kind, name = source.split(":", 1)
    if kind == "weights":
        weights = bundled_weights().get(name)
        if weights is None:
            raise InputRejected(f"No weights {name!r} come with the lab; there are {', '.join(bundled_weights())}.")
        return _Trained(
            net=weights.architecture,
            file=weights.path.name,
            origin="This file comes with the lab, in cnnlab/nets/bundled. A last layer that does not fit stays random.",
        )
    run_id, epoch = name.split("@")
    folder = data_dir() / "runs" / run_id
    try:
        config = TrainConfig.from_yaml((folder / "config.yaml").read_text(encoding="utf-8"))
    except OSError:
        raise InputRejected("The run whose weights this starts from is no longer there. Choose others.") from None
    return _Trained(
        net=config.net,
        file=checkpoints.weights_file(folder, int(epoch)).name,
        origin=f"The weights of run {run_id} after epoch {epoch}, from the zip that the lab exports.",
    )
