import numpy as np

from minioneformer.data.toy_scene import CATEGORIES, Layer, draw_scene, keep_visible


def _layer(label, top, bottom, left, right):
    shape = (bottom - top, right - left)
    return Layer(
        label=label,
        rows=slice(top, bottom),
        columns=slice(left, right),
        coverage=np.ones(shape, np.float32),
        paint=np.zeros((3, *shape), np.float32),
    )


GROUND = _layer(0, 0, 11, 0, 13)


def test_nine_pixels_are_dropped_and_ten_are_kept():
    nine, ten = _layer(3, 0, 3, 0, 3), _layer(4, 5, 7, 0, 5)
    assert keep_visible([GROUND, nine, ten], 11, 13) == [GROUND, ten]


def test_a_layer_is_judged_by_what_others_leave_of_it():
    behind, front = _layer(3, 0, 5, 0, 5), _layer(4, 0, 4, 0, 5)  # 5 of 25 pixels stay
    assert keep_visible([GROUND, behind, front], 11, 13) == [GROUND, front]


def test_a_dropped_layer_hides_nothing():
    # 18 pixels, of which the speck of 9 would leave too few
    behind, speck = _layer(3, 0, 3, 0, 6), _layer(4, 0, 3, 0, 3)
    assert keep_visible([GROUND, behind, speck], 11, 13) == [GROUND, behind]


def test_pixels_covered_less_than_half_do_not_count():
    faint = _layer(3, 0, 5, 0, 5)
    faint.coverage[1:] = 0.49
    assert keep_visible([GROUND, faint], 11, 13) == [GROUND]


def test_layers_outside_the_image_are_dropped():
    assert keep_visible([GROUND, _layer(3, 11, 11, 4, 9)], 11, 13) == [GROUND]


def test_the_picture_agrees_with_the_annotation():
    # where a vivid thing is annotated, its pixels are more saturated than any stuff around it
    checked = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        image, segment_map, segments = draw_scene(rng, 61, 83, color_overlap=0.3, max_objects=5)
        spread = image.max(axis=0).astype(int) - image.min(axis=0)
        saturation = spread / np.maximum(image.max(axis=0), 1)
        for segment in segments:
            mask = segment_map == segment.id
            if CATEGORIES[segment.label].is_thing and mask.sum() > 60:
                assert np.median(saturation[mask]) > 0.5
                checked += 1
            elif CATEGORIES[segment.label].name == "sky":
                assert np.median(saturation[mask]) < 0.5
    assert checked > 40
