import pytest
import torch
from torch import nn
from torchvision import models

from cnnlab.nets.history import MILESTONES, scores
from cnnlab.nets.summary import summarize, totals

# RegNet computes its widths with tensors, so it cannot be built without numbers; its plain form takes a second.
BUILT_WITHOUT_NUMBERS = [builder for builder in MILESTONES if not builder.startswith("regnet")]


def built(builder: str) -> nn.Module:
    # Both have side exits and a slow way to draw their weights; neither matters here.
    options = {"aux_logits": False, "init_weights": False} if builder in ("googlenet", "inception_v3") else {}
    return getattr(models, builder)(weights=None, **options)


@pytest.mark.parametrize("builder", MILESTONES)
def test_depth_and_macs_are_what_the_lab_counts(builder: str) -> None:
    score = next(score for score in scores() if score.builder == builder)
    with torch.device("meta" if builder in BUILT_WITHOUT_NUMBERS else "cpu"):
        model = built(builder)
    counted = totals(summarize(model, (3, score.side, score.side)))
    assert counted.depth == MILESTONES[builder].depth
    assert counted.macs == pytest.approx(score.macs, rel=0.01)  # given to the nearest million
    if builder != "inception_v3":  # its weights have a side exit for training
        assert counted.num_params == score.num_params


def test_the_figures_are_those_of_the_weights() -> None:
    by_name = {(score.builder, score.weights): score for score in scores()}
    assert by_name["resnet18", "IMAGENET1K_V1"].top1 == 69.758
    assert by_name["vgg16", "IMAGENET1K_V1"].num_params == 138_357_544
    # Three figures for one claim, "152 layers reach 77 %": it depends on how they were trained.
    assert [by_name["resnet152", f"IMAGENET1K_V{n}"].top1 for n in (1, 2)] == [78.312, 82.284]


def test_milestones_stand_in_order_of_their_years() -> None:
    years = [entry.year for entry in MILESTONES.values()]
    assert years == sorted(years)
