import csv
import io
import json

import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from cnnlab.nets.listing import to_csv, to_json, torchsummary_text
from cnnlab.nets.summary import summarize

# The table printed in the tutorial.
TUTORIAL = """\
----------------------------------------------------------------
        Layer (type)               Output Shape         Param #
================================================================
            Conv2d-1             [1, 6, 30, 30]             168
         MaxPool2d-2             [1, 6, 15, 15]               0
            Conv2d-3            [1, 16, 13, 13]             880
         MaxPool2d-4              [1, 16, 6, 6]               0
            Linear-5                   [1, 120]          69,240
            Linear-6                    [1, 84]          10,164
            Linear-7                    [1, 10]             850
================================================================
Total params: 81,302
Trainable params: 81,302
Non-trainable params: 0
----------------------------------------------------------------
Input size (MB): 0.01
Forward/backward pass size (MB): 0.08
Params size (MB): 0.31
Estimated Total Size (MB): 0.40
----------------------------------------------------------------"""


class ImageClassification(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.pool1 = nn.Conv2d(3, 6, 3), nn.MaxPool2d(2, 2)
        self.conv2, self.pool2 = nn.Conv2d(6, 16, 3), nn.MaxPool2d(2, 2)
        self.linear1, self.linear2, self.out = nn.Linear(576, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool1(F.relu(self.conv1(x)))
        x = self.pool2(F.relu(self.conv2(x)))
        x = F.relu(self.linear1(x.reshape(x.size(0), -1)))
        return self.out(F.relu(self.linear2(x)))


FACTS = summarize(ImageClassification(), (3, 32, 32))


def test_the_table_is_the_one_of_the_tutorial():
    assert torchsummary_text(FACTS, (3, 32, 32), batch_size=1) == TUTORIAL


def test_without_a_batch_size_any_is_shown():
    assert "            Conv2d-1            [-1, 6, 30, 30]             168" in torchsummary_text(FACTS, (3, 32, 32))


def test_sizes_are_those_of_the_whole_batch():
    text = torchsummary_text(FACTS, (3, 32, 32), batch_size=8)
    assert "Input size (MB): 0.09" in text
    assert "Forward/backward pass size (MB): 0.63" in text
    assert "Params size (MB): 0.31" in text


def test_blocks_are_listed_after_what_is_inside_as_torchsummary_does():
    """Sizes and the number of lines that torchsummary 1.5.1 prints for ResNet-18."""
    lines = torchsummary_text(summarize(torchvision.models.resnet18(), (3, 224, 224)), (3, 224, 224)).splitlines()
    rows = lines[3:-10]
    assert len(rows) == 68
    assert rows[10].split()[:2] == ["BasicBlock-11", "[-1,"]
    assert rows[-1] == "           Linear-68                 [-1, 1000]         513,000"
    assert lines[-5:-1] == [
        "Input size (MB): 0.57",
        "Forward/backward pass size (MB): 62.79",
        "Params size (MB): 44.59",
        "Estimated Total Size (MB): 107.96",
    ]


def kinds_listed(net, shape):
    lines = torchsummary_text(summarize(net, shape), shape).splitlines()
    return [line.split()[0] for line in lines[3 : lines.index("=" * 64, 3)]]


def test_what_inherits_from_sequential_is_not_listed_as_torchsummary_does_not():
    """The number of lines that torchsummary 1.5.1 prints for RegNetY-400MF, whose blocks inherit from Sequential."""
    listed = kinds_listed(torchvision.models.regnet_y_400mf(), (3, 64, 64))
    assert len(listed) == 269
    assert not any(kind.startswith(("AnyStage", "SimpleStemIN", "BottleneckTransform")) for kind in listed)
    assert "ResBottleneckBlock-21" in listed


def test_a_block_that_runs_twice_is_listed_twice():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.conv(x) + x

    block = Around()
    assert kinds_listed(nn.Sequential(block, block, nn.Sequential()), (3, 4, 4)) == [
        "Conv2d-1",
        "Around-2",
        "Conv2d-3",
        "Around-4",
    ]


def test_shared_parameters_are_in_the_totals_once():
    norm = nn.BatchNorm2d(4)
    text = torchsummary_text(summarize(nn.Sequential(norm, norm), (4, 2, 2)), (4, 2, 2))
    assert "Total params: 8\n" in text


def test_csv_is_read_back():
    rows = list(csv.DictReader(io.StringIO(to_csv(FACTS))))
    assert len(rows) == len(FACTS) == 12
    first = rows[0]
    assert (first["name"], first["output_shape"], first["num_params"], first["macs"]) == (
        "conv1",
        "6x30x30",
        "168",
        "145800",
    )
    assert first["hyperparameters"] == "kernel_size=3, stride=1, padding=0, bias=True"
    assert (first["receptive_field_px"], rows[5]["receptive_field_px"]) == ("3x3", "10x10")
    assert [row["inputs"] for row in rows[:3]] == ["-1", "0", "1"]
    assert sum(int(row["num_params"]) for row in rows) == 81_302


def test_json_is_read_back():
    document = json.loads(to_json(FACTS))
    assert document["totals"]["macs"] == sum(layer["macs"] for layer in document["layers"]) == 371_856
    assert document["totals"]["param_bytes"] == 325_208
    conv = document["layers"][3]
    assert (conv["name"], conv["input_shape"], conv["output_shape"]) == ("conv2", [6, 15, 15], [16, 13, 13])
    assert conv["receptive_field_px"] == [8, 8]
    assert conv["receptive_field_jump_px"] == [2, 2]


def test_settings_that_json_does_not_have_are_text():
    class Kept(nn.Module):
        def forward(self, x):
            return x.to(dtype=torch.float64).mean((2, 3), dtype=torch.float32)

    layers = json.loads(to_json(summarize(Kept(), (3, 2, 2))))["layers"]
    assert layers[-1]["hyperparameters"]["dtype"] == "torch.float32"
    assert layers[-1]["receptive_field_px"] == [2, 2]


def test_a_net_that_does_nothing_has_no_rows():
    class Nothing(nn.Module):
        def forward(self, x):
            return x

    facts = summarize(Nothing(), (3, 2, 2))
    assert facts == ()
    assert to_csv(facts).strip() == ""
    assert json.loads(to_json(facts))["layers"] == []
    assert "Total params: 0" in torchsummary_text(facts, (3, 2, 2))
