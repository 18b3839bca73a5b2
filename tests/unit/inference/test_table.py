import csv
import io
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from cnnlab.data.archives import Skipped, members_of_files, members_of_zip
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.images import Preprocessing, decode, to_png, to_tensor
from cnnlab.inference.capturing import share
from cnnlab.inference.table import Row, rows_of, to_csv

STEPS = Preprocessing(resize=(4, 4), mean=(0.5,) * 3, std=(0.5,) * 3)
CLASSES = ("ant", "bee", "cow", "=dog")
RNG = np.random.default_rng(3)


def net():
    torch.manual_seed(0)
    return share(nn.Sequential(nn.Flatten(), nn.Linear(48, 4)))


def png(side=6):
    return to_png(RNG.integers(0, 256, (side, side, 3), dtype=np.uint8))


def read(lines, delimiter=","):
    return list(csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter))


def begins_a_formula(cell):
    return cell.lstrip(' "\t\r\n\u00a0\ufeff\u200b').startswith(("=", "+", "-", "@", "−", "＝"))


def test_every_file_of_a_zip_has_its_row_also_the_one_that_is_no_picture():
    pictures = {f"a/{number}.png": png() for number in range(20)}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in pictures.items():
            archive.writestr(name, content)
        archive.writestr("a/text.png", b"no picture at all")
        archive.writestr("../out.png", png())
    model, told = net(), []
    members, skipped = members_of_zip(data.getvalue())
    rows = list(rows_of(model, members, skipped, STEPS, CLASSES, progress=lambda *said: told.append(said)))
    assert [row.name for row in rows] == [*pictures, "a/text.png", "../out.png"]
    for row in rows[:20]:
        probs = model(to_tensor(decode(pictures[row.name]), STEPS)).softmax(1)[0]
        values, indexes = probs.topk(3)
        assert [label for label, _ in row.best] == [CLASSES[index] for index in indexes]
        assert [share_ for _, share_ in row.best] == pytest.approx(values.tolist(), abs=1e-6)
        assert row.note == ""
    assert rows[20].best == ()
    assert "PNG" in rows[20].note
    assert rows[21] == Row(name="../out.png", best=(), note="Left out: its name leads out of the folder.")
    assert told[-1] == (21, 21)


def test_rows_come_before_later_files_are_read():
    members, skipped = members_of_files([(f"{number}.png", png()) for number in range(40)])
    reads = []

    def noted(member):
        return type(member)(member.name, member.num_bytes, lambda: (reads.append(member.name), member.read())[1])

    rows = rows_of(net(), [noted(member) for member in members], skipped, STEPS, CLASSES)
    next(rows)
    assert len(reads) < 40


def test_pictures_of_different_sizes_need_no_common_one():
    model = share(nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 4)))
    members, skipped = members_of_files([("a.png", png(6)), ("b.png", png(9)), ("c.png", png(6))])
    steps = Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3)
    for row, member in zip(rows_of(model, members, skipped, steps, CLASSES), members, strict=True):
        probs = model(to_tensor(decode(member.read()), steps)).softmax(1)[0]
        assert row.best[0][1] == pytest.approx(float(probs.max()), abs=1e-6)


def test_what_was_changed_when_a_picture_was_read_is_noted():
    transparent = io.BytesIO()
    Image.new("RGBA", (5, 5), (10, 20, 30, 0)).save(transparent, "PNG")
    members, skipped = members_of_files([("a.png", transparent.getvalue())])
    (row,) = rows_of(net(), members, skipped, STEPS, CLASSES)
    assert row.note == " ".join(decode(transparent.getvalue()).notes) != ""


def test_temperature_evens_the_probabilities_out():
    members, skipped = members_of_files([("a.png", png())])
    (sharp,), (even,) = (list(rows_of(net(), members, skipped, STEPS, CLASSES, temperature=t)) for t in (1.0, 100.0))
    assert sharp.best[0][0] == even.best[0][0]
    assert even.best[0][1] < sharp.best[0][1]
    assert even.best[0][1] == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    "name",
    [
        "=1+1.png",
        "+a.png",
        "-2.jpg",
        "@SUM(A1).png",
        "−5.png",
        "＝A1",
        "\t=1",
        " =1+1",
        '=HYPERLINK("http://a";"b")',
        "a;=cmd|calc;b.png",
        "a; \u00a0+1",
        "\u00a0=1",
        "\ufeff=1",
        "\u200b@a",
        'a;"=1',
        "a\t=1",
        ";;=1",
    ],
)
def test_no_cell_is_a_formula(name):
    rows = read(to_csv([Row(name=name, best=((name, 0.5),), note=name)]))
    for cell in (rows[1][0], rows[1][1], rows[1][-1]):
        assert cell.replace("'", "") == name
    for delimiter in ",;\t":
        lines = read(to_csv([Row(name=name, best=((name, 0.5),), note=name)]), delimiter)
        assert not any(begins_a_formula(cell) for line in lines for cell in line)


def test_three_classes_and_their_probabilities_fill_the_columns():
    lines = list(to_csv([Row(name="a,b.png", best=(("cat", 0.9), ("dog", 1 / 30)), note='said "no"')]))
    assert lines[0] == '"file","class","confidence","second","second confidence","third","third confidence","note"\r\n'
    assert lines[1] == '"a,b.png","cat","0.900000","dog","0.033333","","","said ""no"""\r\n'


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20), max_size=5))
@settings(max_examples=60)
def test_names_survive_but_for_the_apostrophe(names):
    rows = read(to_csv(Row(name=name, best=(), note="") for name in names))[1:]
    assert [row[0].replace("'", "") for row in rows] == [name.replace("'", "") for name in names]
    assert all(len(row) == 8 for row in rows)
    assert not any(begins_a_formula(row[0]) for row in rows)


def test_a_broken_net_is_noted_and_a_wrong_number_of_names_refused():
    members, skipped = members_of_files([("a.png", png())])
    broken = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
    nn.init.constant_(broken[1].bias, float("nan"))
    (row,) = rows_of(broken, members, skipped, STEPS, CLASSES)
    assert row.best == ()
    assert "NaN" in row.note
    with pytest.raises(InputRejected, match="3 names"):
        list(rows_of(net(), members, skipped, STEPS, CLASSES[:3]))


def test_the_net_runs_in_its_turn_and_rows_are_handed_out_after_it():
    members, skipped = members_of_files([(f"{number}.png", png()) for number in range(20)])
    turns, is_running = [], False

    @contextmanager
    def turn():
        nonlocal is_running
        is_running = True
        yield
        is_running = False
        turns.append(len(turns))

    model = net()
    ran_in_turn = []
    model.register_forward_hook(lambda *_: ran_in_turn.append(is_running))
    for _ in rows_of(model, members, skipped, STEPS, CLASSES, turn=turn):
        assert not is_running
    assert len(turns) == 2
    assert ran_in_turn
    assert all(ran_in_turn)


def test_it_can_be_stopped():
    members, skipped = members_of_files([(f"{number}.png", png()) for number in range(40)])
    asked = iter([False, True])
    with pytest.raises(RunFailed, match="stopped"):
        list(rows_of(net(), members, skipped, STEPS, CLASSES, cancelled=lambda: next(asked)))


def test_nothing_but_skipped_files_makes_a_table_too():
    rows = list(rows_of(net(), [], [Skipped("a.zip", "it is an archive")], STEPS, CLASSES))
    assert [row.note for row in rows] == ["Left out: it is an archive."]
