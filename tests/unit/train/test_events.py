import json

import pytest

from cnnlab.train import events
from cnnlab.train.events import Changed, EpochEnded, LayersMeasured, Stepped, from_data, to_data
from tests.unit.train.making import config, ran


def test_every_event_of_a_run_survives_json():
    _, told = ran(config())
    assert {type(event) for event in told} >= {events.Started, Stepped, LayersMeasured, EpochEnded, events.Ended}
    for event in told:
        assert from_data(json.loads(json.dumps(to_data(event), allow_nan=False))) == event


def test_events_hold_numbers_and_strings_only():
    def leaves(value):
        if isinstance(value, dict):
            return [leaf for each in value.items() for one in each for leaf in leaves(one)]
        if isinstance(value, tuple | list):
            return [leaf for one in value for leaf in leaves(one)]
        return [type(value)]

    _, told = ran(config())
    assert {kind for event in told for kind in leaves(to_data(event))} <= {int, float, str, bool}


def test_the_kind_is_the_name_of_the_class():
    assert to_data(Changed(step=3, what="paused")) == {"kind": "Changed", "step": 3, "what": "paused", "value": 0.0}


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"kind": "Exploded"}, KeyError),
        ({"step": 1}, KeyError),
        ({"kind": "Changed", "step": 1}, TypeError),
        ({"kind": "Changed", "step": 1, "what": "lr", "more": 1}, TypeError),
    ],
    ids=str,
)
def test_what_is_no_event_is_not_taken_for_one(data, error):
    with pytest.raises(error):
        from_data(data)


def epoch(confusion, train_accuracy=0.9, validation_accuracy=0.75):
    return EpochEnded(
        time=0.0,
        epoch=1,
        step=1,
        train_loss=1.0,
        train_accuracy=train_accuracy,
        validation_loss=1.0,
        validation_accuracy=validation_accuracy,
        confusion=confusion,
        lr=0.1,
        seconds=1.0,
        validation_seconds=1.0,
    )


def test_each_class_is_counted_by_its_row():
    assert epoch(((3, 1, 0), (0, 0, 0), (2, 0, 2))).per_class == (0.75, None, 0.5)


def test_the_gap_is_what_training_has_ahead():
    assert epoch(((1,),)).gap == pytest.approx(0.15)
