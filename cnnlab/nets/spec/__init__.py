"""A net as plain data: edit it in a table, paste it as code, save it, export it, build it.

NetSpec ← from_json, from_yaml, from_pytorch, from_module, or layer by layer
NetSpec → to_json, to_yaml, to_pytorch, build
"""

from cnnlab.nets.spec.building import build
from cnnlab.nets.spec.checking import Check, Problem, SpecError, Step, check, label, walk
from cnnlab.nets.spec.conversion import from_module
from cnnlab.nets.spec.formats import (
    from_json,
    from_plain,
    from_yaml,
    layer_to_plain,
    layers_from_yaml,
    layers_to_yaml,
    to_json,
    to_plain,
    to_yaml,
)
from cnnlab.nets.spec.kinds import ACTIVATIONS, LAYER_KINDS, layer
from cnnlab.nets.spec.layers import LayerKind, LayerSpec, Param, Shape
from cnnlab.nets.spec.netspec import NetSpec, num_params, shapes
from cnnlab.nets.spec.reading import from_pytorch
from cnnlab.nets.spec.source import to_pytorch

__all__ = [
    "ACTIVATIONS",
    "LAYER_KINDS",
    "Check",
    "LayerKind",
    "LayerSpec",
    "NetSpec",
    "Param",
    "Problem",
    "Shape",
    "SpecError",
    "Step",
    "build",
    "check",
    "from_json",
    "from_module",
    "from_plain",
    "from_pytorch",
    "from_yaml",
    "label",
    "layer",
    "layer_to_plain",
    "layers_from_yaml",
    "layers_to_yaml",
    "num_params",
    "shapes",
    "to_json",
    "to_plain",
    "to_pytorch",
    "to_yaml",
    "walk",
]
