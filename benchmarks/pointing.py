"""Measures whether explanations point at the object and depend on what the net has learnt, on drawn shapes.

Run it from the root of the project; it takes a few minutes on one core, most of them for the slow methods:

    python -m benchmarks.pointing --methods gradcam guided_backprop

The net is the one that comes with the lab. Pictures are drawing 2 of the data set: the net learnt from drawing 0, and
how it was trained was chosen by drawing 1. Single objects are for the pointing game, pairs of them in one picture for
"energy on the asked object", each asked for both. Layers are compared for Grad-CAM. Then the weights are made random
block by block, for 16 pictures.

Limits: Grad-CAM at the automatic layer hits at least 90 % of the objects and has 0.95 of its energy on the asked one of
two; at a layer that is too early, it fails both; it reacts to random weights, and guided backpropagation does not. The
exit status is 1 when a limit is missed.
"""

import argparse
import platform
import sys
import time

import torch

from cnnlab.explain import METHODS
from cnnlab.explain.layers import automatic
from cnnlab.explain.localizing import (
    Drawn,
    Scenes,
    centre_maps,
    drawn_scenes,
    drawn_shapes,
    localization,
    maps_of,
    random_maps,
    telling,
)
from cnnlab.explain.sanity import randomized, verdict
from cnnlab.inference import share
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.weights import bundled_weights, load_weights

POINTING, ENERGY_ON_ASKED = 0.90, 0.95
EARLIER = "features.2", "features.3", "features.4", "features.5"
TOO_EARLY = "features.4"
DRAWING = 2
BLOCKS = "logits", "features.6", "features.5", "features.4", "features.3", "stem"
WEIGHTS = bundled_weights()["resnet_cifar_shapes"]


def row(name: str, singles: torch.Tensor, pairs: torch.Tensor, drawn: Drawn, scenes: Scenes) -> tuple[float, float]:
    """Print one line; return the share of hits and the energy on the asked object of two."""
    found, told = localization(singles, drawn), telling(pairs, scenes)
    low, high = found.interval
    print(
        f"{name:32}{found.pointing:7.1%} ({low:.1%} to {high:.1%}){found.energy.mean():8.2f}{found.iou.mean():6.2f}"
        f"{found.num_dead:6}{told.energy.mean():8.3f}{told.hits.mean():8.2f}{told.strays.mean():8.2f}",
        flush=True,
    )
    return found.pointing, float(told.energy.mean())


def main() -> int:
    """Print both tables; return 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    parser.add_argument("--count", type=int, default=600, help="pictures with one object; half as many with two")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    net = ARCHITECTURES[WEIGHTS.architecture].build(num_classes=WEIGHTS.num_classes, in_channels=WEIGHTS.in_channels)
    load_weights(net, WEIGHTS)
    share(net)
    assert WEIGHTS.preprocessing.resize in (32, 64)
    side = int(WEIGHTS.preprocessing.resize)
    drawn = drawn_shapes(arguments.count, side, WEIGHTS.preprocessing, drawing=DRAWING)
    scenes = drawn_scenes(arguments.count // 2, side, WEIGHTS.preprocessing, drawing=DRAWING)
    with torch.no_grad():
        right = float((net(drawn.x).argmax(1) == drawn.labels).double().mean())
    best = automatic(net, drawn.x).layer
    print(f"{platform.processor() or platform.machine()}, PyTorch {torch.__version__}, {arguments.threads} threads")
    print(f"{WEIGHTS.label}, {side} px, right about {right:.1%} of {arguments.count} pictures; layer {best}")

    missed = []
    titles = f"{'pointing (95 % interval)':>25}{'energy':>8}{'IoU':>6}{'dead':>6}{'asked':>8}{'hits':>8}{'strays':>8}"
    print(f"\n{'':32}{titles}")
    row("centre", centre_maps(drawn), centre_maps(scenes), drawn, scenes)
    row("random", random_maps(drawn), random_maps(scenes), drawn, scenes)
    for layer in (*EARLIER, best):
        maps = [maps_of(METHODS["gradcam"], net, pictures, layer) for pictures in (drawn, scenes)]
        hits, energy = row(f"gradcam, {layer}", maps[0], maps[1], drawn, scenes)
        if layer == best and (hits < POINTING or energy < ENERGY_ON_ASKED):
            missed.append(f"Grad-CAM at {layer}")
        if layer == TOO_EARLY and (hits >= POINTING or energy >= ENERGY_ON_ASKED):
            missed.append(f"failure at {layer}")
    for key in arguments.methods:
        start = time.process_time()
        maps = [maps_of(METHODS[key], net, pictures, best) for pictures in (drawn, scenes)]
        row(f"{key} ({time.process_time() - start:.0f} s)", maps[0], maps[1], drawn, scenes)

    print("\nrank correlation with the map of the trained net, random from the logits back to …")
    print(f"{'':24}" + "".join(f"{block:<12}" for block in BLOCKS))
    few, asked = drawn.x[:16], drawn.labels[:16].tolist()
    for key in arguments.methods:
        steps = [*randomized(METHODS[key], net, few, asked, best, statistics_x=drawn.x[16:80])]
        found = verdict(steps)
        figures = "".join(f"{step.correlation:<12.2f}" for step in steps)
        print(
            f"{key:24}{figures}mean {found.correlation:.2f}: {'reacts' if found.reacts else 'DOES NOT REACT'}",
            flush=True,
        )
        if found.reacts != {"gradcam": True, "guided_backprop": False}.get(key, found.reacts):
            missed.append(f"{key} with random weights")
    print(f"\nmissed: {', '.join(missed) or 'nothing'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
