"""Judge maps of ``lite`` by class names that they were not fitted to, without any image.

Two questions are asked of maps fitted on 800 of the 1,000 ImageNet classes, five times: which
of the 200 other names fits (``names``), and which of some 100 kinds, such as dog, truck or
insect, that are no class's name (``kinds``). ``seen`` asks for the kind of classes that took
part; it is flattered by definitions, for they say the kind.

In place of images stand pseudo-features: a class's prototype, a common noise in the span of all
prototypes, and a share of its neighbours, sized so that the classifier itself is right in 77 %
of the cases (EfficientNet-Lite0 is right in 75.5 % on real images). It knows no data set.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HeldOut", "Rows", "judge", "kinds_of_classes", "unit"]

Rows = NDArray[np.float32]
Labels = NDArray[np.int64]
Fit = Callable[[Labels], tuple[Callable[[Rows], Rows], Rows]]

N_FOLDS = 5
COPIES = 2
_SIGNAL, _NEIGHBOURS, _SHARPNESS = 3.5, 1.15, 20.0
_QUERY = "a photo of a {}."
# Where the name of a kind ends in a definition, and what may stand before it.
_AFTER_KIND = re.compile(
    r"[;,(:]|\b(of|with|that|used|for|having|which|to|in|on|from|by|made|consisting|resembling|"
    r"native|found|worn|carried|whose|where|as|at|and|or|who|usually|similar|designed)\b"
)
_BEFORE_KIND = re.compile(
    r"^.*?\b(breeds?|species|type|kind|variety|varieties|form|any|one|genus) of "
    r"|^(an?|the|any|several|various|numerous|many|two|most|one) "
)
# What the two rules also find and what is not a kind of thing that a picture shows.
_NO_KINDS = frozenset(
    {"black", "body", "bred", "breed", "covering", "developed", "device", "enough", "equipment"}
    | {"familie", "group", "living", "material", "originally", "part", "people", "piece", "place"}
    | {"set", "structure", "support", "system", "variety"}
)


@dataclass(frozen=True)
class HeldOut:
    """Shares of right answers, and the scale on cosines with the lowest loss.

    Attributes:
        names: Among the 200 held-out names.
        kinds: Kinds of held-out classes, the mean over kinds.
        seen: Kinds of classes that took part in the fit.
        scale: Factor on cosines that minimises the log-loss of the held-out names.
    """

    names: float
    kinds: float
    seen: float
    scale: float


def judge(
    fit: Fit,
    encode: Callable[[list[str]], Rows],
    classes: tuple[Sequence[str], Sequence[Sequence[str]], Sequence[str]],
    weight: Rows,
) -> HeldOut:
    """Fit five times on 800 classes and ask for the 200 others.

    Args:
        fit: From the numbers of the kept classes to the map of features (B, 1280) to rows
            (B, 384), and the mean that is taken off texts.
        encode: From texts to unit rows.
        classes: Names, other names and definitions of the 1,000 classes.
        weight: The classifier's, (1000, 1280).
    """
    names = classes[0]
    kinds, belongs = kinds_of_classes(*classes)
    name_rows, kind_rows = (
        encode([_QUERY.format(text) for text in texts]) for texts in (names, kinds)
    )
    right, features = pseudo_features(weight, np.random.default_rng(0))
    order = np.random.default_rng(0).permutation(len(names))
    found, kinds_found, cosines = [], [], []
    for fold in range(N_FOLDS):
        out = np.sort(order[fold::N_FOLDS])
        to_rows, mean = fit(np.setdiff1d(order, out))
        asked = np.isin(right, out)
        rows = unit(to_rows(features[asked]))
        cosines.append((rows @ unit(name_rows[out] - mean).T, np.searchsorted(out, right[asked])))
        found.append((cosines[-1][0].argmax(1) == cosines[-1][1]).mean())
        kinds_found.append(_share_of_kinds(rows, right[asked], unit(kind_rows - mean), belongs))
    to_rows, mean = fit(np.arange(len(names)))
    seen = _share_of_kinds(unit(to_rows(features)), right, unit(kind_rows - mean), belongs)
    return HeldOut(float(np.mean(found)), float(np.mean(kinds_found)), seen, best_scale(cosines))


def pseudo_features(weight: Rows, rng: np.random.Generator) -> tuple[Labels, Rows]:
    """Draw features (COPIES * 1000, 1280) that the classifier takes for its classes."""
    prototypes = unit(weight - weight.mean(axis=0))
    right = np.repeat(np.arange(len(weight)), COPIES)
    near = np.exp(_SHARPNESS * prototypes @ prototypes.T)
    np.fill_diagonal(near, 0)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    shape = (len(right), len(weight))
    common = rng.standard_normal(shape, dtype=np.float32) / np.sqrt(len(weight))
    local = np.abs(rng.standard_normal(shape, dtype=np.float32)) * near[right]
    noise = (common + _NEIGHBOURS * local) @ prototypes
    return right, (_SIGNAL * (prototypes[right] + noise)).astype(np.float32)


def best_scale(cosines: Sequence[tuple[Rows, Labels]]) -> float:
    """Find the factor on cosines with the lowest mean log-loss of the right column."""
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    def loss(scale: float) -> float:
        parts = [
            logsumexp(scale * table, axis=1) - scale * table[np.arange(len(right)), right]
            for table, right in cosines
        ]
        return float(np.mean(np.concatenate(parts)))

    return float(minimize_scalar(loss, bounds=(1, 200), method="bounded").x)


def kinds_of_classes(
    names: Sequence[str], lemmas: Sequence[Sequence[str]], definitions: Sequence[str]
) -> tuple[list[str], NDArray[np.bool_]]:
    """Name the kinds that three classes or more belong to and that are no class's own name.

    A class's kinds are the last word of its names and the noun that its definition begins with.

    Returns:
        K kinds, and which classes belong to them, (1000, K).
    """
    members = defaultdict(set)
    for number, definition in enumerate(definitions):
        members[kind_in_definition(definition)].add(number)
        for name in (names[number], *lemmas[number]):
            if " " in name:
                members[name.split()[-1].lower()].add(number)
    taken = _NO_KINDS | {name.lower() for some in (names, *lemmas) for name in some}
    kinds = sorted(
        k for k, found in members.items() if len(found) >= 3 and k.isalpha() and k not in taken
    )
    belongs = np.zeros((len(names), len(kinds)), dtype=bool)
    for column, kind in enumerate(kinds):
        belongs[sorted(members[kind]), column] = True
    return kinds, belongs


def kind_in_definition(definition: str) -> str:
    """Return the noun that a definition begins with: "a breed of small dog from" -> "dog"."""
    text = definition.lower()
    while (shorter := _BEFORE_KIND.sub("", text, count=1)) != text:
        text = shorter
    words = _AFTER_KIND.split(text, maxsplit=1)[0].split()
    return re.sub(r"(?<=[^su])s$", "", words[-1]) if words else ""


def _share_of_kinds(
    rows: Rows, right: Labels, kind_rows: Rows, belongs: NDArray[np.bool_]
) -> float:
    """Share of rows whose nearest kind is one of theirs: the mean over kinds."""
    hits = belongs[right, (rows @ kind_rows.T).argmax(1)]
    shares = [
        hits[belongs[right, kind]].mean()
        for kind in range(belongs.shape[1])
        if belongs[right, kind].any()
    ]
    return float(np.mean(shares))


def unit(rows: Rows) -> Rows:
    """Scale rows to norm 1."""
    scaled: Rows = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return scaled
