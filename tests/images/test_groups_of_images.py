"""What images belong with: a column, a pattern over paths, views of one sample."""

import pytest

from cliptune.errors import InputError
from cliptune.images import ImageTable


def test_a_column_says_the_group(make_tree):
    folder = make_tree("img/1.jpg", "img/2.jpg", "img/3.jpg")
    (folder / "m.csv").write_text("image,label,who\n1.jpg,a,x\n2.jpg,b,y\n3.jpg,a,\n")
    table = ImageTable.open(folder, group_column="who")
    assert table.groups.tolist() == ["x", "y", ""]
    assert table.select([1, 2]).groups.tolist() == ["y", ""]
    assert ImageTable.open(folder).groups is None
    assert ImageTable.open(folder).digest() != table.digest()
    for data in (folder, folder / "m.csv"):
        with pytest.raises(InputError, match="--group-column patient came, but no table of"):
            ImageTable.open(data, group_column="patient")


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"patient_(\d+)", ["7", "7", "8", ""]),
        (r"p[a-z]+_\d", ["patient_7", "patient_7", "patient_8", ""]),
        (r"(\d)(-cam\d)?", ["7/-cam1", "7", "8", "1"]),
    ],
)
def test_a_pattern_finds_the_group_in_the_path(pattern, groups, make_tree):
    paths = ["a/patient_7-cam1.jpg", "a/patient_7.jpg", "b/patient_8.jpg", "b/x1.jpg"]
    table = ImageTable.open(make_tree(*paths), group_pattern=pattern)
    assert table.groups.tolist() == groups
    said = any("finds nothing in 1 paths, such as 'b/x1.jpg'" in n for n in table.reading.notes)
    assert said == ("" in groups)


def test_patterns_that_cannot_be_are_refused(make_tree):
    folder = make_tree("a/1.jpg", "b/2.jpg")
    with pytest.raises(InputError, match="is no regular expression"):
        ImageTable.open(folder, group_pattern="(")
    with pytest.raises(InputError, match=r"finds nothing in any path, such as 'a/1\.jpg'"):
        ImageTable.open(folder, group_pattern="patient")
    with pytest.raises(InputError, match="came together"):
        ImageTable.open(folder, group_pattern="1", group_column="x")
