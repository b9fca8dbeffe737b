import numpy as np
import pytest
from scipy.special import gammaln, iv
from scipy.stats import norm, spearmanr

from cliptune.modality_gap.definitions import DEFINITIONS
from cliptune.modality_gap.distributions import measure_discrepancy
from cliptune.modality_gap.gap import measure_gap
from cliptune.modality_gap.measured import Measured, Space, to_score
from cliptune.modality_gap.pairing import pair_by_group
from cliptune.modality_gap.relation import relate_captions


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def gaussians(n, dim, offset, *, deviation=1.0, seed=0):
    """Two isotropic Gaussians whose means are ``offset`` deviations apart."""
    rng = np.random.default_rng(seed)
    shift = np.zeros(dim)
    shift[0] = offset
    images, texts = rng.normal(size=(n, dim)) + shift, rng.normal(size=(n, dim))
    return (deviation * images).astype(np.float32), (deviation * texts).astype(np.float32)


@pytest.fixture(scope="module")
def two_gaussians(make_space):
    """Eight dimensions, deviation 0.3, two deviations apart, 900 of each."""
    return measure_gap(make_space(*gaussians(900, 8, 2.0, deviation=0.3))).numbers


@pytest.fixture(scope="module")
def labelled(make_space):
    """Unit vectors in 30 dimensions, 9 classes of unequal size, 400 images."""
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(9, 30))
    labels = rng.choice(9, size=400, p=np.arange(1, 10) / 45)
    images = unit(middles[labels] + rng.normal(size=(400, 30)) + 0.5)
    texts = unit(middles + rng.normal(size=(9, 30)) - 0.5)
    space = make_space(images, texts, labels)
    return space, measure_gap(space)


def test_two_gaussians_have_the_centroid_distance_they_were_made_with(two_gaussians):
    # The difference of two means of 900 points errs by 0.3 sqrt(2 / 900) in each direction.
    assert two_gaussians["centroid_distance"].value == pytest.approx(0.6, abs=0.045)
    # Two halves 2 deviations apart: variance 1 between them along one axis, 8 within.
    assert two_gaussians["centroid_share"].value == pytest.approx(1 / 9, abs=0.016)


def test_two_gaussians_are_separable_as_their_overlap_says(two_gaussians):
    measured = two_gaussians["modality_separability"]
    expected = norm.cdf(1.0)  # Bayes: half the distance is one standard deviation
    error = np.sqrt(expected * (1 - expected) / 1800)
    assert measured.value == pytest.approx(expected, abs=4 * error)
    score = to_score(measured)
    assert score.high - score.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    assert score.n == 1800


def test_two_gaussians_have_the_closed_form_discrepancy(two_gaussians):
    # E exp(-2 |u - v|^2) for u - v ~ N(m, 0.18 I) in 8 dimensions is
    # (1 + 4 * 0.18)^-4 exp(-2 |m|^2 / (1 + 4 * 0.18)).
    same = 1.72**-4
    apart = same * np.exp(-2 * 0.6**2 / 1.72)
    assert two_gaussians["mmd_squared"].value == pytest.approx(2 * same - 2 * apart, rel=0.1)
    assert abs(two_gaussians["mmd_squared_centred"].value) < 0.01 * 2 * same
    for name in ("uniformity_images", "uniformity_texts"):
        assert two_gaussians[name].value == pytest.approx(np.log(same), abs=0.06)


def test_isotropic_gaussians_have_their_own_dimension(two_gaussians, make_space):
    assert two_gaussians["participation_ratio_images"].value == pytest.approx(8, rel=0.02)
    # With fewer points than dimensions the plain ratio could not exceed 59.
    few = measure_gap(make_space(*gaussians(60, 200, 1.0))).numbers
    assert few["participation_ratio_texts"].value == pytest.approx(200, rel=0.15)


def test_equal_distributions_have_no_gap(make_space):
    numbers = measure_gap(make_space(*gaussians(500, 8, 0.0, deviation=0.3))).numbers
    scores = {name: to_score(measured) for name, measured in numbers.items()}
    assert scores["mmd_squared"].low < 0 < scores["mmd_squared"].high
    assert scores["mmd_squared_centred"].low < 0 < scores["mmd_squared_centred"].high
    assert scores["modality_separability"].value == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(1000))
    assert scores["similarity_correlation"].low < 0 < scores["similarity_correlation"].high
    assert scores["linear_cka"].low < 0 < scores["linear_cka"].high


def test_few_class_texts_leave_no_bias_in_the_centred_discrepancy(make_space):
    # Classes and texts from one distribution, ten texts only: nothing is left but noise.
    values = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        texts = rng.normal(size=(10, 4)).astype(np.float32)
        images = rng.normal(size=(10, 4)).astype(np.float32)
        space = make_space(np.repeat(images, 20, axis=0), texts, np.repeat(np.arange(10), 20))
        values.append(measure_discrepancy(space, seed=0)["mmd_squared_centred"].value)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_uniform_points_on_the_sphere_have_the_closed_form_uniformity(make_space):
    rng = np.random.default_rng(0)
    images, texts = unit(rng.normal(size=(900, 10))), unit(rng.normal(size=(900, 10)))
    # E exp(4 u.v) for a uniform v is the normaliser of a von Mises-Fisher density.
    log_mean = gammaln(5) + 4 * np.log(2 / 4) + np.log(iv(4, 4.0))
    numbers = measure_gap(make_space(images, texts)).numbers
    assert numbers["uniformity_images"].value == pytest.approx(log_mean - 4, abs=0.02)
    assert numbers["alignment"].value == pytest.approx(2, abs=0.07)


def test_alignment_and_cosine_of_a_known_angle(make_space):
    rng = np.random.default_rng(0)
    images = unit(rng.normal(size=(50, 6)))
    across = rng.normal(size=(50, 6))
    across -= (across * images).sum(axis=1, keepdims=True) * images
    texts = (np.cos(0.7) * images + np.sin(0.7) * unit(across)).astype(np.float32)
    numbers = measure_gap(make_space(images, texts)).numbers
    assert numbers["matched_cosine"].value == pytest.approx(np.cos(0.7), abs=1e-6)
    assert numbers["alignment"].value == pytest.approx(2 - 2 * np.cos(0.7), abs=1e-6)


def test_cosines_of_shared_texts_agree_with_enumeration(labelled):
    space, gap = labelled
    groups = space.pairing.image_groups
    cosines = space.images @ space.texts.T
    matched = cosines[np.arange(len(groups)), groups]
    unmatched = [np.delete(row, g).mean() for row, g in zip(cosines, groups, strict=True)]
    assert gap.numbers["matched_cosine"].value == pytest.approx(matched.mean(), abs=1e-6)
    assert gap.numbers["unmatched_cosine"].value == pytest.approx(np.mean(unmatched), abs=1e-6)
    assert gap.numbers["alignment"].value == pytest.approx(2 - 2 * matched.mean(), abs=1e-6)


def test_every_value_lies_in_its_interval(labelled):
    for name, measured in labelled[1].numbers.items():
        score = to_score(measured)
        assert score.low <= score.value <= score.high, name


def test_a_class_text_counts_once_for_each_of_its_images(labelled):
    space, gap = labelled
    texts = space.texts[space.pairing.image_groups]
    expected = np.linalg.norm(space.images.mean(axis=0) - texts.mean(axis=0))
    assert gap.numbers["centroid_distance"].value == pytest.approx(expected, abs=1e-6)
    pooled = np.concatenate([space.images, texts])
    share = expected**2 / 4 / pooled.var(axis=0).sum()
    assert gap.numbers["centroid_share"].value == pytest.approx(share, rel=1e-4)


def test_structure_agrees_with_scipy_and_the_feature_form_of_cka(labelled):
    space, gap = labelled
    means = np.stack([space.images[space.pairing.image_groups == c].mean(axis=0) for c in range(9)])
    upper = np.triu_indices(9, 1)
    similarities = [(unit(v) @ unit(v).T)[upper] for v in (means, space.texts)]
    measured = gap.numbers["similarity_correlation"]
    assert measured.value == pytest.approx(spearmanr(*similarities).statistic, abs=1e-6)
    assert measured.n == 9

    def hsic(a, b):  # Song et al. once more, on centred features
        k, m = a @ a.T, b @ b.T
        np.fill_diagonal(k, 0)
        np.fill_diagonal(m, 0)
        first = (k * m).sum() + k.sum() * m.sum() / (8 * 7)
        return first - 2 / 7 * (k.sum(axis=0) * m.sum(axis=0)).sum()

    x, y = (v.astype(float) - v.mean(axis=0) for v in (means, space.texts))
    expected = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
    assert gap.numbers["linear_cka"].value == pytest.approx(expected, abs=1e-5)


def test_structure_does_not_depend_on_offset_rotation_or_scale(make_space):
    rng = np.random.default_rng(0)
    content = rng.normal(size=(60, 12))
    images = content.astype(np.float32)
    texts = content + 0.5 * rng.normal(size=(60, 12))
    rotation = np.linalg.qr(rng.normal(size=(12, 12)))[0]

    def structure(moved):
        numbers = measure_gap(make_space(images, moved.astype(np.float32))).numbers
        return numbers["linear_cka"].value, numbers["similarity_correlation"].value

    cka, correlation = structure(texts)
    assert 0.5 < cka < 1
    assert structure(3 * texts @ rotation) == pytest.approx((cka, correlation), abs=1e-4)
    assert structure(texts + 7)[0] == pytest.approx(cka, abs=1e-4)
    assert structure(content) == pytest.approx((1, 1), abs=1e-5)


def test_intervals_have_the_width_of_the_standard_error(make_space):
    # The offset dominates, so the distance varies as the difference of two means along it.
    numbers = measure_gap(make_space(*gaussians(400, 4, 20.0))).numbers
    score = to_score(numbers["centroid_distance"])
    assert score.high - score.low == pytest.approx(2 * 1.96 * np.sqrt(2 / 400), rel=0.12)
    assert score.low < score.value < score.high


def test_interval_lies_about_the_value_where_resampling_has_a_bias(make_space):
    score = to_score(measure_gap(make_space(*gaussians(300, 50, 0.0))).numbers["centroid_distance"])
    assert score.low < score.value < score.high


def test_a_perfect_probe_is_not_certain(make_space):
    space = make_space(*gaussians(10, 3, 60.0))
    score = to_score(measure_gap(space).numbers["modality_separability"])
    assert score.value == 1.0
    assert 0.7 < score.low < 0.9
    assert score.high == 1.0


def test_recalls_come_with_captions_only(make_space, labelled):
    assert not any("recall" in name for name in labelled[1].numbers)
    numbers = measure_gap(make_space(*gaussians(40, 8, 1.0))).numbers
    assert set(numbers) == set(DEFINITIONS)
    assert numbers["text_to_image_recall_at_10"].n == 40


def test_two_classes_leave_out_what_needs_four(make_space):
    rng = np.random.default_rng(0)
    images, texts = unit(rng.normal(size=(40, 5))), unit(rng.normal(size=(2, 5)))
    gap = measure_gap(make_space(images, texts, np.arange(40) % 2))
    needs_four = {name for name, definition in DEFINITIONS.items() if definition.min_groups == 4}
    assert set(gap.omitted) == needs_four
    assert "at least 4 groups" in gap.omitted["linear_cka"]
    assert {"centroid_distance", "matched_cosine", "uniformity_images"} <= set(gap.numbers)


def test_numbers_do_not_depend_on_the_order_of_images(labelled, make_space):
    space, gap = labelled
    order = np.random.default_rng(1).permutation(len(space.images))
    shuffled = measure_gap(
        make_space(space.images[order], space.texts, space.pairing.image_groups[order])
    )
    for name in set(gap.numbers) - {"modality_separability"}:
        assert shuffled.numbers[name].value == pytest.approx(gap.numbers[name].value, rel=1e-4), (
            name
        )


def test_a_rare_class_does_not_take_the_interval_away(make_space):
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(6), np.zeros(60, int)])  # five classes of one image
    images, texts = unit(rng.normal(size=(66, 8))), unit(rng.normal(size=(6, 8)))
    score = to_score(measure_gap(make_space(images, texts, labels)).numbers["linear_cka"])
    assert score.low < score.value < score.high


def test_refuses_an_interval_of_a_number_that_resamples_lack():
    with pytest.raises(ValueError, match="too few"):
        to_score(Measured(1.0, np.full(1000, np.nan), 5))


def captioned_space(images, texts, owners, **items):
    relation = relate_captions(owners, len(images), **items)
    return Space(images, texts, pair_by_group(np.arange(len(images)), owners)[0], relation)


def test_copies_of_images_and_captions_change_no_number():
    rng = np.random.default_rng(0)
    content = rng.normal(size=(60, 12))
    images = unit(content + 0.5 * rng.normal(size=content.shape) + 1)
    texts = unit(content + 0.5 * rng.normal(size=content.shape) - 1)
    single = measure_gap(captioned_space(images, texts, np.arange(60))).numbers
    twice = np.arange(120) % 60
    space = captioned_space(
        images[twice], texts[twice], np.arange(120), image_items=twice, text_items=twice
    )
    double = measure_gap(space).numbers
    assert double.keys() == single.keys()
    assert double["uniformity_texts"].n == 60
    for name, measured in single.items():
        if name != "modality_separability":  # with twice the points the penalty counts half
            assert double[name].value == pytest.approx(measured.value, rel=1e-5), name


def test_an_equal_caption_is_no_unmatched_one():
    axes = np.eye(4, dtype=np.float32)
    owners = np.arange(4)
    images, texts = axes[[0, 0, 1, 2]], 0.5 * axes[[0, 0, 1, 2]]
    space = captioned_space(images, texts, owners, text_items=[0, 0, 1, 2])
    assert measure_gap(space).numbers["unmatched_cosine"].value == 0.0
