"""The numbers of the gap by name: what each is, its formula and its source.

It computes nothing; tables, pages and reports read titles and formulas from here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFINITIONS", "ENOUGH_GROUPS", "Definition"]

ENOUGH_GROUPS = 4


@dataclass(frozen=True)
class Definition:
    """What one number means.

    Attributes:
        name: Its key in results.
        title: Its name for people.
        formula: How it is computed; x are image vectors, y text vectors.
        source: Where it comes from.
        counts: What its n counts.
        captions_only: Whether it needs images with texts of their own.
        min_groups: How many groups it needs. Two or three texts have no distribution to speak
            of, and no arrangement.
    """

    name: str
    title: str
    formula: str
    source: str
    counts: str = "images"
    captions_only: bool = False
    min_groups: int = 2


_RECALL = (
    Definition(
        f"{direction}_recall_at_{k}",
        f"Recall at {k}, {direction.replace('_', ' ')}",
        f"share of {queries} with a match among the {k} nearest {found}; a tie counts as a miss",
        "Hodosh et al., JAIR 47 (2013), doi:10.1613/jair.3994",
        counts=queries,
        captions_only=True,
    )
    for direction, queries, found in (
        ("image_to_text", "images", "texts"),
        ("text_to_image", "texts", "images"),
    )
    for k in (1, 5, 10)
)

_ALL = (
    Definition(
        "centroid_distance",
        "Centroid distance",
        "|mean x - mean y|, one text per image",
        "arXiv:2203.02053, section 4.2",
    ),
    Definition(
        "centroid_share",
        "Its share of the total spread",
        "|mean x - mean y|^2 / 4 over the variance of both modalities pooled, each weighing half",
        "between-group share of a variance (eta squared)",
    ),
    Definition(
        "modality_separability",
        "Linear separability of the modalities",
        "balanced accuracy, on held-out groups, of a logistic regression that tells x from y",
        "linear probe, 5-fold cross-validation; 0.5 is chance",
        min_groups=ENOUGH_GROUPS,
    ),
    Definition(
        "mmd_squared",
        "Squared maximum mean discrepancy",
        "E k(x,x') + E k(y,y') - 2 E k(x,y'), k(u,v) = exp(-2 |u-v|^2), over different groups",
        "Gretton et al., JMLR 13 (2012), lemma 6; kernel of arXiv:2005.10242",
        min_groups=ENOUGH_GROUPS,
    ),
    Definition(
        "mmd_squared_centred",
        "The same after centring both",
        "as before, with mean x and mean y subtracted: what is left when the centroids meet",
        "the centroids alone mislead: arXiv:2604.00279",
        min_groups=ENOUGH_GROUPS,
    ),
    Definition(
        "matched_cosine",
        "Cosine, matched",
        "mean x.y over matched pairs, each image counting once",
        "arXiv:2103.00020",
    ),
    Definition(
        "unmatched_cosine",
        "Cosine, unmatched",
        "mean x.y over pairs that do not belong together, each image counting once",
        "arXiv:2103.00020",
    ),
    Definition(
        "alignment",
        "Alignment",
        "mean |x - y|^2 over matched pairs; smaller is closer",
        "arXiv:2005.10242, section 4.1.1, alpha = 2",
    ),
    Definition(
        "uniformity_images",
        "Uniformity, images",
        "log E exp(-2 |x - x'|^2) over distinct images; smaller is more spread",
        "arXiv:2005.10242, section 4.1.2, t = 2",
    ),
    Definition(
        "uniformity_texts",
        "Uniformity, texts",
        "log E exp(-2 |y - y'|^2) over distinct texts; smaller is more spread",
        "arXiv:2005.10242, section 4.1.2, t = 2",
        counts="texts",
        min_groups=ENOUGH_GROUPS,
    ),
    Definition(
        "similarity_correlation",
        "Agreement of the similarity matrices",
        "Spearman correlation of cos(x_c, x_d) with cos(y_c, y_d) over all c < d, group means",
        "representational similarity analysis: Kriegeskorte et al. 2008, "
        "doi:10.3389/neuro.06.004.2008",
        counts="groups",
        min_groups=ENOUGH_GROUPS,
    ),
    Definition(
        "linear_cka",
        "Linear CKA of the group means",
        "HSIC(X,Y) / sqrt(HSIC(X,X) HSIC(Y,Y)), unbiased HSIC",
        "arXiv:1905.00414, equation 4, with the estimator of arXiv:2010.15327",
        counts="groups",
        min_groups=ENOUGH_GROUPS,
    ),
    Definition(
        "participation_ratio_images",
        "Intrinsic dimension, images",
        "(sum l)^2 / sum l^2 of the covariance's eigenvalues l, bias of small samples removed",
        "participation ratio, arXiv:2509.26560",
    ),
    Definition(
        "participation_ratio_texts",
        "Intrinsic dimension, texts",
        "(sum l)^2 / sum l^2 of the covariance's eigenvalues l, bias of small samples removed",
        "participation ratio, arXiv:2509.26560",
        counts="texts",
        min_groups=ENOUGH_GROUPS,
    ),
    *_RECALL,
)

DEFINITIONS = {definition.name: definition for definition in _ALL}
