"""Measures what the bundled weights say of test pictures, and keeps it beside them (`cnnlab.inference.references`).

To be run again when weights change. The test part is taken, not the validation part, because some of the nets learned
from all the other pictures. The data sets are fetched where no copy lies in `CNNLAB_DATA_DIR`.

    python -m benchmarks.bundled_references --net resnet9
"""

import argparse

import numpy as np
import torch
from numpy.typing import NDArray

from cnnlab.data import DATASETS, Dataset, load_dataset
from cnnlab.inference.batching import logits_of_pictures
from cnnlab.inference.calibrating import as_image, logits_of
from cnnlab.inference.capturing import share
from cnnlab.inference.novelty import blank_pictures
from cnnlab.inference.references import measure, write_reference
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.weights import Weights, bundled_weights, load_weights

# Data set by the classes of the weights, and others, none of whose pictures is of these classes.
STRANGERS = {"mnist": ("shapes", "cifar10"), "cifar10": ("shapes", "mnist"), "shapes": ("cifar10", "mnist")}
_MOST_STRANGERS = 1_000


def home_of(weights: Weights) -> str:
    """Key of the data set that weights were trained with, told by its name in their label."""
    return next(key for key, entry in DATASETS.items() if weights.label == f"trained on {entry.label}")


def strange_logits(model: torch.nn.Module, dataset: Dataset, weights: Weights) -> NDArray[np.float32]:
    """What a net says of test pictures of another data set."""
    test = dataset.splits.test
    chosen = test[:: len(test) // _MOST_STRANGERS][:_MOST_STRANGERS].tolist()  # evenly, as sets may be in order
    return logits_of_pictures(model, [as_image(dataset.pictures[index]) for index in chosen], weights.preprocessing)


def main() -> None:
    """Measure the weights asked for, or all."""
    bundled = bundled_weights()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=bundled, action="append")
    datasets: dict[str, Dataset] = {}

    def dataset(key: str) -> Dataset:
        if key not in datasets:
            datasets[key] = load_dataset(key)
        return datasets[key]

    for key in parser.parse_args().net or bundled:
        weights, home = bundled[key], home_of(bundled[key])
        model = ARCHITECTURES[weights.architecture].build(
            num_classes=weights.num_classes, in_channels=weights.in_channels
        )
        load_weights(model, weights)
        share(model)
        own = dataset(home)
        assert own.classes == weights.classes
        logits, labels = logits_of(model, own, own.splits.test, weights.preprocessing)
        strangers = {
            f"{_MOST_STRANGERS:,} pictures of {dataset(other).label}": strange_logits(model, dataset(other), weights)
            for other in STRANGERS[home]
        }
        reference = measure(logits, labels, f"test pictures of {own.label}", strangers)
        path = write_reference(reference, key)
        seen, scaled = reference.by_width, reference.scaled
        print(
            f"{key}: accuracy {seen.accuracy:.2%}, mean confidence {seen.confidence:.2%}, ECE {seen.ece:.2%} "
            f"(equal mass {reference.by_mass.ece:.2%}), MCE {seen.mce:.1%}, NLL {seen.nll:.4f}, "
            f"Brier {seen.brier:.4f}; T {scaled.temperature:.3f}, ECE of the other half {scaled.before.ece:.2%} "
            f"→ {scaled.after.ece:.2%}; {path.name}, {path.stat().st_size / 1000:.1f} kB"
        )
        for name, areas in reference.separations.items():
            print(f"    against {name}: " + ", ".join(f"{score} {area:.3f}" for score, area in areas.items()))
        for name, blank in blank_pictures(weights.preprocessing).items():
            said = logits_of_pictures(model, [blank], weights.preprocessing)[0]
            sure = float(torch.from_numpy(said).softmax(0).max())
            rare = reference.spreads["max_logit"].share_below(float(said.max()))
            print(f"    {name}: {weights.classes[int(said.argmax())]} {sure:.1%}; largest logit lower: {rare:.2%}")


if __name__ == "__main__":
    main()
