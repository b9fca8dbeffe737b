"""The scan lists what cannot be read; the policy stops or goes on without it."""

import logging

import numpy as np
import pytest

from cliptune.errors import BadImageError, DataError, InputError
from cliptune.images import (
    ImageTable,
    apply_bad_image_policy,
    drop_bad,
    open_images,
    scan_images,
)


@pytest.fixture
def damaged(make_tree):
    folder = make_tree("ant/1.jpg", "ant/2.jpg", "bee/1.jpg", "bee/2.png")
    whole = (folder / "ant/1.jpg").read_bytes()
    (folder / "ant/cut.jpg").write_bytes(whole[:-200])
    (folder / "bee/empty.png").touch()
    (folder / "bee/page.jpg").write_bytes(b"<html>not found</html>")
    (folder / "bee/gone.jpg").symlink_to("never.jpg")
    return ImageTable.open(folder)


def test_the_scan_names_path_and_reason_in_order(damaged):
    report = scan_images(damaged)
    assert report.n_images == 8
    found = {bad.id: bad.reason for bad in report.bad}
    assert list(found) == ["ant/cut.jpg", "bee/empty.png", "bee/gone.jpg", "bee/page.jpg"]
    assert "truncated" in found["ant/cut.jpg"]
    assert found["bee/empty.png"] == "the file is empty"
    assert "No such file" in found["bee/gone.jpg"]
    assert "web page" in found["bee/page.jpg"]
    assert [damaged.ids[bad.row] for bad in report.bad] == list(found)
    assert all(bad.path.endswith(bad.id) for bad in report.bad)


def test_what_the_scan_passes_loads_and_what_it_lists_does_not(damaged):
    bad = {b.row for b in scan_images(damaged).bad}
    for row in range(len(damaged)):
        if row in bad:
            with pytest.raises(BadImageError):
                damaged.load_image(row)
        else:
            assert damaged.load_image(row).mode == "RGB"


def test_any_number_of_workers_gives_the_same_report(damaged):
    many = damaged.select(np.tile(np.arange(8), 40))
    reports = [scan_images(many, workers=workers) for workers in (1, 2, 7)]
    assert reports[0] == reports[1] == reports[2]
    assert len(reports[0].bad) == 160


def test_progress_runs_from_nothing_to_all(damaged):
    many = damaged.select(np.tile(np.arange(8), 40))
    seen = []
    scan_images(many, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 320)
    assert seen[-1] == (320, 320)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 5


def test_a_stop_in_the_progress_ends_the_scan(damaged):
    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_images(damaged, progress=stop)


def test_the_pixel_limit_counts(damaged):
    report = scan_images(damaged, max_pixels=100)
    assert len(report.bad) == 8
    assert "48 x 32 pixels are more than the limit of 100" in report.bad[0].reason


def test_fail_lists_the_first_and_says_how_to_go_on(damaged):
    report = scan_images(damaged)
    with pytest.raises(BadImageError) as caught:
        apply_bad_image_policy(damaged, report, policy="fail")
    message = str(caught.value)
    assert message.startswith("4 of 8 images cannot be read: ")
    assert "ant/cut.jpg: corrupt or truncated" in message
    assert "and 1 more" in message
    assert "--on-bad-image skip" in message
    assert "\n" not in message


def test_skip_leaves_them_out_and_says_so(damaged, caplog):
    caplog.set_level(logging.INFO)
    kept = apply_bad_image_policy(damaged, scan_images(damaged), policy="skip")
    assert kept.ids == ("ant/1.jpg", "ant/2.jpg", "bee/1.jpg", "bee/2.png")
    assert kept.labels.tolist() == [0, 0, 1, 1]
    assert "4 of 8 images cannot be read and are left out" in caplog.text
    assert drop_bad(damaged, scan_images(damaged)).ids == kept.ids


def test_skip_refuses_to_lose_a_whole_class(make_tree):
    folder = make_tree("ant/1.jpg")
    (folder / "bee").mkdir()
    (folder / "bee/1.jpg").touch()
    table = ImageTable.open(folder)
    with pytest.raises(DataError, match="the classes 'bee' have none left"):
        apply_bad_image_policy(table, scan_images(table), policy="skip")
    with pytest.raises(DataError, match="all 1 of 1 images"):
        alone = table.select(np.array([1]))
        apply_bad_image_policy(alone, scan_images(alone), policy="skip")


def test_a_clean_table_passes_untouched(make_tree):
    table = ImageTable.open(make_tree("ant/1.jpg", "bee/1.jpg"))
    report = scan_images(table)
    assert report.bad == ()
    assert apply_bad_image_policy(table, report, policy="fail") is table


def test_a_report_about_another_table_is_refused(damaged, make_tree):
    other = open_images([str(make_tree("x.jpg", root="other"))])
    with pytest.raises(InputError, match="about 8 images, the table has 1"):
        drop_bad(other, scan_images(damaged))
    with pytest.raises(InputError, match="expected fail or skip"):
        apply_bad_image_policy(other, scan_images(other), policy="ignore")


def test_real_photographs_are_whole(data_root):
    table = ImageTable.open(data_root / "hymenoptera_data", split="val")
    assert scan_images(table).bad == ()
