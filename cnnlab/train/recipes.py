"""Ready-made training runs: those of the tutorials that this lab goes back to, and our own.

To add one, add its entry to `RECIPES`; the page, `python -m cnnlab recipes` and the tests follow the table.

The reproductions keep a tutorial's net, optimiser, learning rate, batch size and number of epochs, and PyTorch's own
start. They depart in what an honest measurement takes: a twentieth of the training pictures is held out for validation,
where the tutorials steer by the test pictures or by nothing; pictures are normalised by mean and spread of the training
part in place of ImageNet's; padded crops continue the picture by its mirror image in place of black.
"""

from dataclasses import dataclass

from cnnlab.data import Augment, Step
from cnnlab.nets.spec import NetSpec, layer
from cnnlab.train.config import OWN_PICTURES, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a tutorial says came out.

    Attributes:
        losses: Mean training loss of each epoch that is printed; cross-entropy in nats.
        train_accuracies: Likewise, 0 to 1; empty where none is printed.
        test_accuracy: Share of the test pictures, 0 to 1; None where none is printed.
        note: How it was measured, and what one must know to compare with it.
    """

    losses: tuple[float, ...] = ()
    train_accuracies: tuple[float, ...] = ()
    test_accuracy: float | None = None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One entry of `RECIPES`.

    Attributes:
        label: Name shown to people.
        about: What it does and what to look for.
        config: All that decides the run.
        source: Where it comes from: "ours", or which tutorial.
        published: What the tutorial says came out; None for ours, and where it prints nothing.
        expects: What came out here, and how it was measured; "" where nobody measured yet.
    """

    label: str
    about: str
    config: TrainConfig
    source: str = "ours"
    published: Published | None = None
    expects: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it comes from no tutorial."""
        return self.source == "ours"


def _block(channels: int, kernel_size: int) -> tuple:
    return (
        layer("conv", out_channels=channels, kernel_size=kernel_size, padding=kernel_size // 2, bias=False),
        layer("batch_norm"),
        layer("relu"),
    )


DIGIT_NET = NetSpec(
    "Four convolutions with BatchNorm",
    (1, 28, 28),
    (
        *_block(16, 5),
        layer("max_pool", kernel_size=2),
        *_block(32, 3),
        layer("max_pool", kernel_size=2),
        *_block(64, 3),
        *_block(64, 3),
        layer("flatten"),
        layer("linear", out_features=10),
    ),
)
"""92,026 weights. The first layer sees 5 × 5 px with few maps, because there a map costs most."""

_FLIP_AND_CROP = Augment((Step("flip"), Step("padded_crop", {"padding": 4})))

RECIPES: dict[str, Recipe] = {
    "digits_fast": Recipe(
        label="Digits in seconds",
        about="A small net with BatchNorm learns 1,797 real digits while you watch. The learning rate rises and falls "
        "again: see how the loss jumps while it is high and settles once it falls.",
        config=TrainConfig(
            net=DIGIT_NET,
            data="digits",
            epochs=6,
            batch_size=32,
            optimizer="adamw",
            lr=4e-3,
            weight_decay=0.01,
            schedule="one_cycle",
            warmup=1.2,
            augment=Augment((Step("padded_crop", {"padding": 1}),)),
        ),
        expects="99.4 % of 359 test pictures after 6 epochs, in 4.3 s on one core (1 thread, one seed).",
    ),
    "mnist_fast": Recipe(
        label="MNIST, fast",
        about="The same net on 70,000 digits: three epochs beat five of the tutorial's net, with less than a quarter "
        "of its weights. BatchNorm, shifted pictures, softened labels and one cycle of the learning rate do it; leave "
        "one out and see what it was worth.",
        config=TrainConfig(
            net=DIGIT_NET,
            data="mnist",
            epochs=3,
            batch_size=128,
            optimizer="adamw",
            lr=4e-3,
            weight_decay=0.01,
            schedule="one_cycle",
            warmup=0.6,
            label_smoothing=0.1,
            initialisation="default",
            augment=Augment((Step("padded_crop", {"padding": 2}),)),
        ),
        expects="99.49 % and 99.44 % of 10,000 test pictures after 3 epochs (two seeds). Such a run took 72 s of "
        "processor time (1 thread) on a machine almost at rest, up to 104 s on a crowded one.",
    ),
    "mnist_simple_conv": Recipe(
        label="Two convolutions on MNIST",
        about="The tutorials' net with dropout, a rate that rises and falls, and shifted digits: these are the weights "
        "that come with the lab. Training stays behind validation, for it has the harder pictures and the dropout.",
        config=TrainConfig(
            net="simple_conv_net",
            data="mnist",
            validation=0.05,
            epochs=8,
            batch_size=128,
            optimizer="adamw",
            lr=3e-3,
            weight_decay=0.01,
            schedule="one_cycle",
            warmup=2.0,
            augment=Augment((Step("padded_crop", {"padding": 2}),)),
        ),
        expects="99.42 % of the 10,000 test pictures after 8 epochs (95 % interval 99.25 to 99.55 %; 1 thread, "
        "one seed).",
    ),
    "mnist_lenet": Recipe(
        label="LeNet-5 on MNIST",
        about="The net of 1998 with the recipe of today: its 61,706 weights learn more from shifted digits and a rate "
        "that rises and falls than they did then. These are the weights that come with the lab.",
        config=TrainConfig(
            net="lenet5",
            data="mnist",
            validation=0.02,
            epochs=20,
            batch_size=128,
            optimizer="adamw",
            lr=4e-3,
            weight_decay=0.01,
            schedule="one_cycle",
            warmup=4.0,
            label_smoothing=0.05,
            augment=Augment((Step("padded_crop", {"padding": 2}),)),
        ),
        expects="99.12 % of the 10,000 test pictures with the weights of the best of 20 epochs (95 % interval 98.92 to "
        "99.29 %; 1 thread, one seed).",
    ),
    "shapes": Recipe(
        label="Drawn shapes",
        about="Coloured shapes on textured ground, drawn by the lab: nobody knows better than the lab where the shape "
        "is. Train it, then ask the explanations whether the net looks there. CutMix makes it look at the whole shape.",
        config=TrainConfig(
            net="resnet_cifar",
            data="shapes",
            epochs=12,
            batch_size=64,
            optimizer="adamw",
            lr=4e-3,
            weight_decay=0.01,
            schedule="one_cycle",
            warmup=2.4,
            augment=Augment((Step("flip"), Step("padded_crop", {"padding": 2}), Step("cutmix", {"probability": 0.75}))),
        ),
        expects="99.83 % of 1,200 test pictures after 12 epochs, in 217 s of processor time (1 thread, on a crowded "
        "machine; one seed).",
    ),
    "cifar10_laptop": Recipe(
        label="CIFAR-10 on a laptop",
        about="Small photographs of ten things, and a small residual net. Watch the gap between training and "
        "validation: flips, shifts, holes and softened labels keep it narrow.",
        config=TrainConfig(
            net="resnet_cifar",
            data="cifar10",
            validation=0.05,
            epochs=10,
            batch_size=128,
            optimizer="sgd",
            lr=0.2,
            nesterov=True,
            weight_decay=5e-4,
            schedule="one_cycle",
            warmup=2.0,
            label_smoothing=0.1,
            augment=Augment((Step("flip"), Step("padded_crop", {"padding": 4}), Step("cutout", {"side": 0.25}))),
        ),
    ),
    "cifar10_resnet9": Recipe(
        label="CIFAR-10, nine in ten",
        about="A wider residual net and thirty epochs: two to three hours on one core, one hour with bf16 where the "
        "processor has instructions for it. Most is learnt while the learning rate falls: watch validation in the last "
        "eight epochs.",
        config=TrainConfig(
            net="resnet9",
            data="cifar10",
            validation=0.04,
            epochs=30,
            batch_size=256,
            optimizer="sgd",
            lr=0.2,
            nesterov=True,
            weight_decay=5e-4,
            schedule="one_cycle",
            warmup=6.0,
            label_smoothing=0.1,
            augment=Augment((Step("flip"), Step("padded_crop", {"padding": 4}), Step("cutout"))),
        ),
        expects="89.46 % of the 10,000 test pictures after 30 epochs (95 % interval 88.84 to 90.05 %), 90.75 % of "
        "2,000 for validation; about an hour in bf16 (1 thread of a processor with AMX, one seed). The pictures were a "
        "JPEG copy of CIFAR-10, which costs some points.",
    ),
    "cats_dogs": Recipe(
        label="Cats and dogs, from the CIFAR net",
        about="A net that has learnt CIFAR-10 gets a new last layer and learns your pictures of two classes: a few "
        "hundred are enough where a new net would need thousands. Compare with “Cats and dogs, from nothing”.",
        config=TrainConfig(
            net="resnet9",
            data=OWN_PICTURES,
            side=64,
            epochs=15,
            batch_size=32,
            optimizer="adamw",
            lr=1e-3,
            weight_decay=0.05,
            schedule="one_cycle",
            warmup=3.0,
            label_smoothing=0.1,
            augment=Augment((Step("flip"), Step("random_resized_crop", {"smallest": 0.5}))),
            start_from="weights:resnet9",
        ),
    ),
    "mnist_simple_cnn": Recipe(
        label="SimpleCNN on MNIST",
        about="Two convolutions and SGD with momentum, the first training run of many. Look at the first epoch: most "
        "is learnt in it, and the four after it win one per cent.",
        config=TrainConfig(
            net="simple_cnn",
            data="mnist",
            validation=0.05,
            epochs=5,
            batch_size=64,
            optimizer="sgd",
            lr=0.01,
            momentum=0.9,
            initialisation="default",
        ),
        source="Tutorial “PyTorch: convolutional neural networks”",
        published=Published(
            losses=(0.2325, 0.0526, 0.0366, 0.0273, 0.0221),
            test_accuracy=0.9896,
            note="Losses are means over the batches of an epoch, while learning from all 60,000 pictures; the accuracy "
            "is that of the 10,000 test pictures after the last epoch.",
        ),
    ),
    "mnist_wide_cnn": Recipe(
        label="Wide CNN on MNIST",
        about="Four times the weights of SimpleCNN, dropout, and Adam. Training accuracy stays below validation "
        "accuracy at first: dropout is on while the net learns and off while it is tried.",
        config=TrainConfig(
            net="cnn_mnist",
            data="mnist",
            validation=0.05,
            epochs=10,
            batch_size=128,
            optimizer="adam",
            lr=1e-3,
            initialisation="default",
        ),
        source="Tutorial “How CNNs work, with code in PyTorch”",
        published=Published(
            note="The tutorial prints no results. Its test loss adds up means over batches and divides by the number "
            "of pictures, so it comes out 127 times too small."
        ),
    ),
    "cifar10_lenet": Recipe(
        label="LeNet in colour on CIFAR-10",
        about="A net of 81,302 weights and batches of eight. From about the sixth epoch on, training goes on getting "
        "better and validation does not: overfitting, to be seen in the gap.",
        config=TrainConfig(
            net="image_classification",
            data="cifar10",
            validation=0.05,
            epochs=10,
            batch_size=8,
            optimizer="adam",
            lr=1e-3,
            initialisation="default",
        ),
        source="Tutorial “Convolutional neural networks”",
        published=Published(
            losses=(1.59926, 1.32861, 1.22957, 1.15541, 1.09832, 1.05423, 1.01612, 0.98208, 0.95528, 0.92802),
            train_accuracies=(0.41, 0.52, 0.56, 0.59, 0.61, 0.63, 0.64, 0.65, 0.66, 0.67),
            test_accuracy=0.57,
            note="Losses and training accuracies are those of the first ten epochs, while learning from all 50,000 "
            "pictures; the test accuracy is printed after a run whose code trains for 100 epochs.",
        ),
    ),
    "cifar10_cnn": Recipe(
        label="CIFAR10CNN",
        about="Six convolutions, but only three BatchNorms, each used twice: its running statistics mix two "
        "distributions, so validation lags far behind training. Choose “Six convolutions” as the net and run it again.",
        config=TrainConfig(
            net="cifar10_cnn_shared_bn",
            data="cifar10",
            validation=0.05,
            epochs=10,
            batch_size=128,
            optimizer="adam",
            lr=1e-3,
            weight_decay=1e-4,
            schedule="step",
            step_every=7,
            step_factor=0.1,
            augment=_FLIP_AND_CROP,
            initialisation="default",
        ),
        source="Tutorial “Convolutional networks: teaching a machine to see”",
        published=Published(note="The tutorial prints no results, and steers by the test pictures."),
    ),
    "cats_dogs_stuck": Recipe(
        label="Cats and dogs, learning nothing",
        about="Eight convolutions on pictures of two classes, at the learning rate of the tutorial. The loss stays at "
        "ln 2 = 0.693, which is guessing: a learning rate that is too high looks like this. Stop it and take a tenth.",
        config=TrainConfig(
            net="cat_dog_cnn",
            data=OWN_PICTURES,
            side=64,
            epochs=20,
            batch_size=32,
            optimizer="adam",
            lr=1e-3,
            weight_decay=1e-4,
            schedule="step",
            step_every=7,
            step_factor=0.1,
            augment=_FLIP_AND_CROP,
            initialisation="default",
        ),
        source="Tutorial “Convolutional networks: teaching a machine to see”",
        published=Published(
            note="The tutorial prints no results. Its pictures have 224 px a side; here they have 64, which takes a "
            "twelfth of the time."
        ),
        expects="50 % is guessing: a loop of the same settings stood at 47 % of 280 validation pictures after 14 "
        "epochs, its loss at ln 2 (1,399 pictures, one seed).",
    ),
    "cats_dogs_slow": Recipe(
        label="Cats and dogs, from nothing",
        about="The same net and pictures at a tenth of the learning rate: now it learns. Compare the sizes of its "
        "updates with those of the run that learns nothing.",
        config=TrainConfig(
            net="cat_dog_cnn",
            data=OWN_PICTURES,
            side=64,
            epochs=10,
            batch_size=32,
            optimizer="adam",
            lr=1e-4,
            weight_decay=1e-4,
            schedule="step",
            step_every=7,
            step_factor=0.1,
            augment=_FLIP_AND_CROP,
            initialisation="default",
        ),
        source="Tutorial “Convolutional networks: teaching a machine to see”, at a tenth of its learning rate",
        expects="A loop of the same settings told 77.5 % of 280 validation pictures right, ± 5 points, in 102 s on two "
        "cores (1,399 pictures, one seed).",
    ),
}

DEFAULT_RECIPE = "digits_fast"
"""What is offered first: it needs no network and takes seconds."""
