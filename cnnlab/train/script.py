"""A run as one PyTorch script: what a student needs to do the same without the lab.

Only what the configuration uses stands in it. Nets, augmentations and losses are the lab's own source
(`script_slicing`); the rest is written here in the order in which the loop does it, so that on a CPU both come to the
same numbers.
"""

import ast
import textwrap
from collections.abc import Sequence

from cnnlab.data import DATASETS
from cnnlab.train import script_data, script_loop, script_net
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.train.script_slicing import Slices

_STANDARD = ("collections", "copy", "hashlib", "json", "math", "pathlib")


def to_pytorch_script(config: TrainConfig, *, classes: Sequence[str] = (), side: int = 64) -> str:
    """Write a run as a script that needs PyTorch, torchvision and NumPy alone, and scikit-learn for its digits.

    Args:
        config: Of the run.
        classes: Names of the classes of one's own pictures, in the order of the logits; by default the folders' names.
        side: Of one's own pictures, in px, where the configuration does not say it.

    Raises:
        InputRejected: The weights that it starts from, or its teacher, are not to be found.
    """
    imports: set[str] = set()
    slices = Slices()
    sections = [("Random numbers: every step draws from a seed of its own", script_loop.random_numbers(slices))]

    def add(title: str, text: str) -> None:
        if text:
            sections.append((title, f"{slices.text()}\n{text}"))

    add("Pictures", script_data.pictures(config, classes, side, imports, slices))
    add("Batches", script_data.batches(config, imports, slices))
    add("Net", script_net.net(config, imports, slices))
    add("Training", script_loop.training(config, imports, slices))
    add("The test pictures, looked at once", script_loop.test(config))
    body = "\n\n".join(f"# {title} {'-' * (117 - len(title))}\n{text.strip()}" for title, text in sections)
    head = f'"""{_docstring(config)}"""'
    return _laid_out("\n\n".join([head, _sorted(imports | slices.imports), script_loop.constants(config), body]))


def _docstring(config: TrainConfig) -> str:
    data = DATASETS[config.data].label if config.data in DATASETS else "pictures of your own"
    is_equal = config.data != OWN_PICTURES
    parts = [
        f"{config.net_name} on {data}, in PyTorch alone. Written by CNN Lab.",
        "It does what the run in the lab did: parts the pictures alike, starts from the same random weights, and draws "
        "the same random numbers in every step."
        + " On the CPU, with the same version of PyTorch, it comes to the same weights, bit for bit." * is_equal
        + " On a GPU, and with another version, sums are added up in another order, and the last digits differ.",
        "What differs: " + " ".join(_differences(config)),
        f"It takes PyTorch, torchvision and NumPy{', and scikit-learn' * (config.data == 'digits')}.",
    ]
    text = "\n\n".join(textwrap.fill(part, 120) for part in parts) + "\n"
    # A net may have any name, also one that would end the docstring and go on as code.
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _differences(config: TrainConfig) -> list[str]:
    found = ["A learning rate that was changed by hand while the run went on is not in here."]
    if config.data == OWN_PICTURES:
        found.append(
            "Your pictures are read from folders, one a class, and made smaller by torchvision: pixels differ a "
            "little, the parts hold other pictures, and so the numbers are others, too."
        )
    if config.data == "cifar10":
        found.append("Where the lab read CIFAR-10 from JPEG files, their pixels and their order are others.")
    if config.compile or config.precision != "fp32":
        found.append("Compiled code and 16-bit numbers round in their own way.")
    return found


def _sorted(imports: set[str]) -> str:
    """Import statements in the usual order: the standard library first, `import` before `from`, one line a module."""
    modules: dict[str, set[str]] = {}
    plain = {one for one in imports if one.startswith("import ")}
    for one in imports - plain:
        _, module, _, names = one.split(" ", 3)
        modules.setdefault(module, set()).update(names.split(", "))
    gathered = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(modules.items())]
    groups: tuple[list[str], list[str]] = ([], [])
    for one in [*sorted(plain), *gathered]:
        groups[one.split()[1].split(".")[0] not in _STANDARD].append(one)
    return "\n\n".join("\n".join(group) for group in groups if group)


def _laid_out(text: str) -> str:
    """Functions and classes two lines apart from what is around them, nothing else more than one."""
    lines, parts = text.splitlines(), []
    end, was_block = 0, False
    for node in ast.parse(text).body:
        begin = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]) - 1
        between, is_block = lines[end:begin], isinstance(node, ast.FunctionDef | ast.ClassDef)
        comments = [line for line in between if line]
        blank = 2 if is_block or was_block else min(1, len(between) - len(comments))
        parts += [""] * (blank if parts else 0) + comments + lines[begin : node.end_lineno]
        end, was_block = node.end_lineno or 0, is_block
    return "\n".join(parts) + "\n"
