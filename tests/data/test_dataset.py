import numpy as np
import pytest

from probvae.data import Binarize, Cast, Data, Rescale

TRAIN = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)


def test_shape_and_splits():
    data = Data("mine", train=TRAIN, test=TRAIN[:2].astype(np.float32))
    assert data.event_shape == (2, 2)
    assert data.observation == Cast()
    assert list(data.splits) == ["train", "test"]
    assert data.labels == {}
    assert data.context == {}


def test_range_is_that_of_the_models_space():
    held_out = (TRAIN[:2] / 23).astype(np.float32)
    assert Data("grey", train=TRAIN, test=held_out, observation=Rescale(23.0)).range == (0.0, 1.0)
    drawn = np.zeros((1, 2, 2), np.uint8)
    assert Data("drawn", train=TRAIN, test=drawn, observation=Binarize(23.0)).range == (0.0, 1.0)
    counts = Data("counts", train=TRAIN, valid=TRAIN[:1], test=np.full((1, 2, 2), 99.0))
    assert counts.range == (0.0, 99.0)


def test_printed_as_a_table():
    labels = {"train": np.array([0, 1, 2, 0, 1, 2])}
    data = Data("mine", train=TRAIN, test=TRAIN[:2], labels=labels, description="six tiny pictures")
    assert str(data) == (
        "mine: six tiny pictures\n"
        "  event shape  (2, 2)\n"
        "  sizes        train 6, test 2\n"
        "  range        0 to 23\n"
        "  observation  Cast() of uint8\n"
        "  labels       3 classes\n"
        "  context      none"
    )


ROWS = np.zeros(5)
ERRORS = [
    ("shape", {"test": TRAIN[:, 0]}, r"event shape of train, \(2, 2\).*got \(2,\) in test"),
    ("labels", {"labels": {"train": ROWS}}, r"labels by split with rows.*got 5 rows for 'train'"),
    ("context", {"context": {"test": ROWS}}, r"context by split.*got 5 rows for 'test'"),
    ("split", {"labels": {"tets": ROWS}}, r"labels by split.*got 5 rows for 'tets'"),
]


@pytest.mark.parametrize(("change", "message"), [e[1:] for e in ERRORS], ids=[e[0] for e in ERRORS])
def test_errors(change, message):
    with pytest.raises(ValueError, match=message):
        Data("mine", **{"train": TRAIN, "test": TRAIN, **change})


def test_a_list_is_an_error():
    with pytest.raises(TypeError, match=r"train"):
        Data("mine", train=[[1.0]], test=TRAIN)
