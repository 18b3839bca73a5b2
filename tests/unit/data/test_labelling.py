import pytest

from cnnlab.data.labelling import choose_rule, is_for_test, label_of


@pytest.mark.parametrize(
    ("name", "folder", "prefix"),
    [
        ("cat.0.jpg", "", "cat"),
        ("dog_12.png", "", "dog"),
        ("pets/cat/1.jpg", "cat", ""),
        ("train/dog/dog (3).jpeg", "dog", "dog"),
        ("black cat-007.x.jpg", "", ""),
        ("2cats3.jpg", "", "2cats"),
        ("猫12.jpg", "", "猫"),
        ("cat.jpg", "", ""),
        ("./cat1", "", "cat"),
        ("IMG_20240101_120000.jpg", "", "IMG"),
    ],
)
def test_labels_by_hand(name, folder, prefix):
    assert label_of(name, "folder") == folder
    assert label_of(name, "prefix") == prefix


def test_two_folders_win_over_names():
    chosen = choose_rule(["a/cat.1.jpg", "b/dog.1.jpg", "a/cat.2.jpg", "b/dog.2.jpg"])
    assert chosen.rule == "folder"
    assert "2 folders" in chosen.reason


@pytest.mark.parametrize("folder", ["", "pets/"])
def test_names_are_taken_where_there_is_one_folder(folder):
    names = [f"{folder}{animal}.{number}.jpg" for animal in ("cat", "dog") for number in range(3)]
    chosen = choose_rule(names)
    assert chosen.rule == "prefix"
    assert "'cat', 'dog'" in chosen.reason


@pytest.mark.parametrize("names", [[], ["a.jpg", "b.jpg"], ["cat.1.jpg", "cat.2.jpg"], ["cat.1.jpg", "dog.1.jpg"]])
def test_where_nothing_tells_classes_apart_it_is_said_what_to_do(names):
    assert "Make one folder per class" in choose_rule(names).reason


def test_folders_called_after_parts_are_no_classes():
    names = [f"{part}/{animal}.{n}.jpg" for part in ("train", "Test") for animal in ("cat", "dog") for n in range(2)]
    assert choose_rule(names).rule == "prefix"
    assert choose_rule([f"{name}/1.jpg" for name in ("train", "car", "test")]).rule == "folder"


def test_one_odd_name_does_not_hide_what_the_others_say():
    assert (
        choose_rule(["cat.1.jpg", "cat.2.jpg", "dog.1.jpg", "dog.2.jpg", "mouse.1.jpg", "notes.txt"]).rule == "prefix"
    )


@pytest.mark.parametrize(
    ("name", "folder", "prefix"),
    [
        ("test/cat/1.jpg", True, True),
        ("x/Test/cat/1.jpg", True, True),
        ("test/cat.1.jpg", False, True),
        ("tests/cat/1.jpg", False, False),
    ],
)
def test_a_test_folder_is_not_the_one_of_the_class(name, folder, prefix):
    assert is_for_test(name, "folder") == folder
    assert is_for_test(name, "prefix") == prefix
