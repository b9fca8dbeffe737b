import json

import pyarrow.parquet as pq
import pytest

from cliptune.errors import RunError
from cliptune.modality_gap.build import build_map
from cliptune.modality_gap.result import atlas_arguments, load_map, save_map


@pytest.fixture(scope="module")
def saved(make_class_inputs, tmp_path_factory):
    result = build_map(make_class_inputs(n=40, offsets=(1.0, 0.5), noise=(0.5, 0.5)))
    out = tmp_path_factory.mktemp("map")
    return result, out, save_map(result, out)


def same(first, second):
    assert first.numbers == second.numbers
    for name in ("image_ids", "labels", "texts", "thumbnails"):
        assert getattr(first, name) == getattr(second, name), name
    for name in ("image_groups", "text_groups"):
        assert (getattr(first, name) == getattr(second, name)).all(), name
    for one, other in zip(first.views, second.views, strict=True):
        assert (one.name, one.predicted) == (other.name, other.predicted)
        assert (one.image_places == other.image_places).all()
        assert (one.text_places == other.text_places).all()
        assert (one.correct == other.correct).all()


def test_what_is_saved_is_what_is_loaded(saved):
    result, out, _ = saved
    same(load_map(out), result)


def test_a_map_of_captions_without_pictures_survives(make_caption_inputs, tmp_path):
    from dataclasses import replace

    result = build_map(replace(make_caption_inputs(n=12), load_image=None))
    save_map(result, tmp_path)
    same(load_map(tmp_path), result)


def test_points_are_what_embedding_atlas_reads(saved):
    _, _, paths = saved
    table = pq.read_table(paths["points"])
    assert table.num_rows == 40 + 6
    assert [str(table.schema.field(c).type) for c in ("x", "y", "text")] == [
        "float",
        "float",
        "string",
    ]
    picture = table["image"][0].as_py()
    assert picture["bytes"][:2] == b"\xff\xd8"  # a JPEG, in the form that is shown as a picture
    assert table["modality"].to_pylist() == ["image"] * 40 + ["text"] * 6
    assert {"x_2", "y_2", "predicted_2"} <= set(table.column_names)
    arguments = atlas_arguments(paths["points"])
    named = [arguments[k + 1] for k, a in enumerate(arguments) if a.startswith("--")]
    assert set(named) <= set(table.column_names)


def test_refuses_a_folder_without_a_map(tmp_path):
    with pytest.raises(RunError, match="cannot read the map"):
        load_map(tmp_path)


@pytest.mark.parametrize("name", ["numbers.json", "points.parquet"])
def test_refuses_a_broken_file(saved, tmp_path, name):
    result, _, _ = saved
    paths = save_map(result, tmp_path)
    file = {path.name: path for path in paths.values()}[name]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RunError, match="make it again"):
        load_map(tmp_path)


@pytest.mark.parametrize("change", [{"views": 3}, {"views": [3]}, {"format_version": "1"}])
def test_refuses_numbers_of_other_types(saved, tmp_path, change):
    result, _, _ = saved
    paths = save_map(result, tmp_path)
    numbers = json.loads(paths["numbers"].read_text())
    paths["numbers"].write_text(json.dumps({**numbers, **change}))
    with pytest.raises(RunError, match="make it again") as caught:
        load_map(tmp_path)
    assert "\n" not in str(caught.value)


def test_refuses_a_newer_format(saved, tmp_path):
    result, _, _ = saved
    paths = save_map(result, tmp_path)
    numbers = json.loads(paths["numbers"].read_text())
    paths["numbers"].write_text(json.dumps({**numbers, "format_version": 99}))
    with pytest.raises(RunError, match=r"format 99.*upgrade"):
        load_map(tmp_path)


def test_nothing_temporary_is_left(saved):
    _, out, _ = saved
    assert {path.name for path in out.iterdir()} == {"numbers.json", "points.parquet"}
