import json
from dataclasses import replace

import numpy as np
import pytest

from cliptune.errors import DataError, InputError
from cliptune.modality_gap import build
from cliptune.modality_gap.build import build_map
from cliptune.modality_gap.definitions import DEFINITIONS
from cliptune.modality_gap.inputs import MapOptions, check_inputs
from cliptune.modality_gap.render import render_map
from cliptune.modality_gap.result import load_map, save_map


@pytest.fixture(scope="module")
def compared(make_class_inputs):
    return build_map(
        make_class_inputs(offsets=(1.0, 0.3), noise=(0.9, 0.5)), MapOptions(shift=True)
    )


def test_numbers_are_plain_json_with_value_interval_and_n(compared):
    numbers = json.loads(json.dumps(compared.to_dict(), allow_nan=False))
    expected = {name for name, d in DEFINITIONS.items() if not d.captions_only}
    assert set(numbers["gap"]) == expected
    for name, number in {**numbers["gap"], **numbers["change"]}.items():
        low, high = number["interval"]
        assert low <= number["value"] <= high, name
        assert number["n"] > 0


def test_change_is_after_minus_before_and_paired(compared):
    numbers = compared.numbers
    for name, change in numbers["change"].items():
        expected = numbers["after"][name]["value"] - numbers["before"][name]["value"]
        assert change["value"] == pytest.approx(expected), name
    assert numbers["change"]["centroid_distance"]["interval"][1] < 0


def test_the_same_view_twice_has_not_changed(make_class_inputs):
    inputs = make_class_inputs()
    twin = replace(inputs.views[0], name="twin")
    numbers = build_map(replace(inputs, views=(inputs.views[0], twin))).numbers
    assert all(c["value"] == 0 and c["interval"] == [0, 0] for c in numbers["change"].values())
    assert "did not measurably change" in numbers["verdict"]
    assert numbers["comparisons"][0]["accuracy"]["classifier"]["difference"] == 0


def test_verdict_agrees_with_the_numbers(compared):
    numbers = compared.numbers
    accuracy = numbers["accuracy_change"]["classifier"]
    assert "The centroid distance fell" in numbers["verdict"]
    word = "rose" if accuracy["low"] > 0 else "did not measurably change"
    assert f"Accuracy {word}" in numbers["verdict"]
    assert "arXiv:2603.29080" in numbers["verdict"]


def test_accuracies_stand_beside_the_gap(compared, make_class_inputs):
    inputs = make_class_inputs(offsets=(1.0, 0.3), noise=(0.9, 0.5))
    for view, numbers in zip(inputs.views, compared.numbers["views"], strict=True):
        nearest = (view.image_vectors @ view.text_vectors.T).argmax(axis=1)
        expected = (nearest == inputs.labels).mean()
        assert numbers["accuracy"]["nearest_text"]["value"] == pytest.approx(expected)


def test_own_predictions_are_what_the_classifier_says(make_class_inputs):
    inputs = make_class_inputs(noise=(3.0,))
    perfect = replace(inputs.views[0], name="run", predictions=inputs.labels)
    result = build_map(replace(inputs, views=(inputs.views[0], perfect)))
    accuracy = result.numbers["views"][1]["accuracy"]
    assert accuracy["own_predictions"]["value"] == 1.0
    assert accuracy["nearest_text"]["value"] < 1.0
    comparison = result.numbers["comparisons"][0]["accuracy"]
    assert comparison["classifier"]["difference"] > 0
    assert comparison["nearest_text"]["difference"] == 0
    assert (result.views[1].correct == 1).all()


def test_shift_is_measured_on_request_only(compared, make_class_inputs):
    shift = compared.numbers["views"][0]["shift"]
    assert len(shift["lambda"]) == len(shift["distance"]) == len(shift["scores"]["accuracy"])
    assert build_map(make_class_inputs()).numbers["views"][0]["shift"] is None


def test_captioned_images_have_recall_and_no_accuracy(make_caption_inputs):
    result = build_map(make_caption_inputs(views=2))
    numbers = result.numbers
    assert numbers["kind"] == "captions"
    assert numbers["gap"]["text_to_image_recall_at_1"]["n"] == 120
    assert numbers["views"][0]["accuracy"] is None
    assert "Recall at 1 from images to texts" in numbers["verdict"]
    assert result.labels[2] == "caption 6 of image 2"
    assert set(result.views[0].correct.tolist()) <= {0, 1}


def test_unlabelled_images_are_drawn_but_do_not_count(make_class_inputs):
    inputs = make_class_inputs(n=60)
    labels = inputs.labels.copy()
    labels[:10] = -1
    result = build_map(replace(inputs, labels=labels))
    assert result.numbers["gap"]["centroid_distance"]["n"] == 50
    assert len(result.views[0].image_places) == 60
    assert (result.views[0].correct[:10] == -1).all()
    assert "10 images have no text of their own" in result.numbers["remarks"][0]


def test_more_images_than_fit_are_sampled_and_it_is_said(make_class_inputs, monkeypatch):
    monkeypatch.setattr(build, "MAX_DRAWN_IMAGES", 50)
    result = build_map(make_class_inputs(n=120))
    assert len(result.views[0].image_places) == len(result.thumbnails) == 50
    assert result.numbers["gap"]["centroid_distance"]["n"] == 120
    assert "50 of 120 images" in result.numbers["remarks"][0]


def test_captions_of_images_that_are_not_drawn_are_left_out(make_caption_inputs, monkeypatch):
    monkeypatch.setattr(build, "MAX_DRAWN_IMAGES", 20)
    result = build_map(make_caption_inputs(n=40, per_image=3))
    assert len(result.texts) == 60
    assert set(result.text_groups) == set(result.image_groups)


def test_the_same_seed_gives_the_same_map(make_class_inputs):
    first, second = (build_map(make_class_inputs(), MapOptions(seed=4)) for _ in range(2))
    assert first.numbers == second.numbers
    assert (first.views[0].image_places == second.views[0].image_places).all()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_three_images_of_two_classes_are_enough(make_class_inputs, tmp_path, method):
    result = build_map(make_class_inputs(n=3, n_classes=2), MapOptions(method=method, shift=True))
    assert {"centroid_distance", "matched_cosine"} <= set(result.numbers["gap"])
    save_map(result, tmp_path)
    assert all(path.stat().st_size for path in render_map(load_map(tmp_path), tmp_path).values())


def with_view(inputs, **changes):
    return replace(inputs, views=(replace(inputs.views[0], **changes), *inputs.views[1:]))


def test_refuses_fewer_than_three_images(make_class_inputs):
    with pytest.raises(DataError, match="2 images came; a map needs at least 3"):
        check_inputs(make_class_inputs(n=2, n_classes=2))


def test_refuses_one_class(make_class_inputs):
    with pytest.raises(DataError, match="1 classes with images and texts came"):
        check_inputs(make_class_inputs(n=9, n_classes=1))
    inputs = make_class_inputs(n=9, n_classes=3)
    with pytest.raises(DataError, match="1 classes"):
        check_inputs(replace(inputs, labels=np.zeros(9, int)))


def test_refuses_an_encoder_without_texts(make_caption_inputs):
    with pytest.raises(InputError, match="no text vectors, which a map of images and captions"):
        check_inputs(with_view(make_caption_inputs(), text_vectors=None))


def test_refuses_runs_on_different_data_unless_forced(make_class_inputs):
    inputs = make_class_inputs(offsets=(1.0, 0.5), noise=(0.5, 0.5))
    views = tuple(
        replace(view, data_digest=digest)
        for view, digest in zip(inputs.views, ("a" * 64, "b" * 64), strict=True)
    )
    inputs = replace(inputs, views=views)
    with pytest.raises(DataError, match=r"before: aaaaaaaa, after: bbbbbbbb\).*--force"):
        check_inputs(inputs)
    check_inputs(inputs, force=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {"image_vectors": v.image_vectors[1:]}, "119, 24"),
        (lambda v: {"image_vectors": 2 * v.image_vectors}, "norm 2; expected unit"),
        (lambda v: {"text_vectors": np.nan * v.text_vectors}, "norm nan"),
        (lambda v: {"text_vectors": np.eye(6, 30, dtype=np.float32)}, "24 and texts of 30"),
        (lambda v: {"predictions": np.zeros(5, int)}, r"shape \(5,\)"),
    ],
)
def test_refuses_vectors_that_do_not_fit(make_class_inputs, change, message):
    inputs = make_class_inputs()
    with pytest.raises(InputError, match=message):
        check_inputs(with_view(inputs, **change(inputs.views[0])))


def test_refuses_two_views_of_one_name(make_class_inputs):
    inputs = make_class_inputs()
    with pytest.raises(InputError, match="each name only once"):
        check_inputs(replace(inputs, views=inputs.views * 2))


def test_refuses_labels_outside_the_classes(make_class_inputs):
    inputs = make_class_inputs()
    with pytest.raises(InputError, match="labels run from 1 to 6; expected -1 to 5"):
        check_inputs(replace(inputs, labels=inputs.labels + 1))
    with pytest.raises(InputError, match="text groups run from 0 to 9"):
        check_inputs(replace(inputs, text_groups=np.asarray([0, 1, 2, 3, 4, 9])))


def test_every_refusal_is_one_line(make_class_inputs):
    with pytest.raises(DataError) as caught:
        check_inputs(make_class_inputs(n=2, n_classes=2))
    assert "\n" not in str(caught.value)
