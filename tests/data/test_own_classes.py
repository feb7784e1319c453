"""Class names that a user states become a catalogue, or fit one that is there.

Mutants that must fail: sort the names; take things for stuff; answer the first class for an
unknown name.
"""

import pytest

from minioneformer.data.own_classes import label_of, own_categories, spread_color
from minioneformer.structures import Category

CATALOGUE = (
    Category(name="car", is_thing=True, color=(1, 2, 3), dataset_id=9),
    Category(name="road", is_thing=False, color=(4, 5, 6), dataset_id=8),
)


def test_the_example():
    road, car = own_categories({"road": 7, "car": 26}, things={"car"})

    assert (road.name, road.is_thing, road.dataset_id) == ("road", False, 7)
    assert (car.name, car.is_thing, car.dataset_id) == ("car", True, 26)
    assert road.color == spread_color(0) == (230, 69, 69)
    assert car.color != road.color


def test_a_catalogue_decides():
    assert own_categories({"road": 7}, things=(), categories=CATALOGUE) == CATALOGUE
    assert label_of("road", CATALOGUE, "here") == 1


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"at least one class, got names=\[\]"):
        own_categories({}, things=())
    with pytest.raises(ValueError, match=r"things must be classes, got \['bus'\]\. Classes: \['r"):
        own_categories({"road": 1}, things={"bus"})
    with pytest.raises(ValueError, match=r"catalogue says what is a thing, got things=\{'road'\}"):
        own_categories({"road": 1}, things={"road"}, categories=CATALOGUE)
    with pytest.raises(ValueError, match="given categories: no such class, got 'raod'.*'road'"):
        own_categories({"raod": 1}, things=(), categories=CATALOGUE)
    with pytest.raises(ValueError, match=r"class names must be unique, got twice \['car'\]"):
        own_categories({"car": 1}, things=(), categories=(CATALOGUE[0], CATALOGUE[0]))
