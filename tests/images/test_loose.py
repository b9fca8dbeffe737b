import pytest
from PIL import Image

from cliptune.errors import DataError, InputError
from cliptune.images.loose import open_images


@pytest.fixture
def folder(tmp_path):
    for name in ("b/two.png", "a/one.png", "three.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def test_files_and_folders_keep_their_order(folder):
    table = open_images([str(folder / "three.jpg"), str(folder / "a"), str(folder / "b")])
    assert table.ids == (
        str(folder / "three.jpg"),
        str(folder / "a/one.png"),
        str(folder / "b/two.png"),
    )
    assert (table.labels == -1).all()
    assert table.load_image(2).size == (8, 8)


def test_an_image_can_be_named_twice(folder):
    assert len(open_images([str(folder / "three.jpg")] * 2)) == 2


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ([], InputError, "no image was named"),
        (["absent.png"], InputError, "no image file 'absent.png'"),
        (["absent"], InputError, "absent"),
    ],
)
def test_rejects_what_is_not_there(names, error, message):
    with pytest.raises(error, match=message):
        open_images(names)


def test_rejects_a_folder_without_images(tmp_path):
    with pytest.raises(DataError, match="no images"):
        open_images([str(tmp_path)])
