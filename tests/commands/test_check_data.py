"""`check-data` writes its report and its sheet, and fails where there are errors.

Mutants that must fail: exit with success in spite of errors; no report where there are errors;
draw broken images.
"""

import json

import pytest

from minioneformer.commands.check_data import check_data
from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.data.toy import ToyPanoptic


@pytest.fixture
def written(tmp_path):
    toy = ToyPanoptic(split="val", size=(24, 40), length=4)
    write_coco_panoptic((toy[i] for i in range(4)), toy.categories, tmp_path, name="train")
    return tmp_path


def check(root, **options):
    check_data(
        "coco_panoptic",
        data_root=root,
        output=root / "new" / "check",
        num_workers=0,
        progress=False,
        **options,
    )


def test_a_good_data_set_is_counted_and_shown(written, capsys):
    check(written)

    out = capsys.readouterr().out
    assert "images           4, of them with errors 0" in out
    report = json.loads((written / "new" / "check" / "report.json").read_text())
    assert report["images"] == 4
    assert report["errors"] == []
    assert (written / "new" / "check" / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")


def test_errors_are_written_and_make_the_command_fail(written, capsys):
    (written / "train" / "000000000001.png").write_text("none")
    (written / "train" / "000000000003.png").unlink()
    with pytest.raises(ValueError, match=r"2 errors in 2 of 4 images, listed in .*report\.json"):
        check(written)

    assert "Errors (2 in 2 images)" in capsys.readouterr().out
    report = json.loads((written / "new" / "check" / "report.json").read_text())
    assert [error["index"] for error in report["errors"]] == [1, 3]
    assert (written / "new" / "check" / "contact_sheet.png").is_file()


def test_a_broken_index_does_not_hide_broken_files(written, capsys):
    """Two images of one id: no reader can go on, but every damaged file can be named."""
    (index,) = written.rglob("*.json")
    content = json.loads(index.read_text())
    content["images"][1]["id"] = content["images"][0]["id"]
    index.write_text(json.dumps(content))
    (written / "train" / "000000000003.png").write_bytes(b"none")
    with pytest.raises(ValueError, match="id"):
        check(written)

    assert "1 files below" in capsys.readouterr().out
    report = json.loads((written / "new" / "check" / "report.json").read_text())
    first, second = (error["message"] for error in report["errors"])
    assert index.name in first and "000000000003.png" in second


def test_generated_data_are_not_checked(tmp_path):
    with pytest.raises(ValueError, match="nothing on disk to check"):
        check_data("toy", data_root=tmp_path)


def test_nothing_to_show_draws_nothing(written):
    check(written, pictures=0, queries=1)
    assert not (written / "new" / "check" / "contact_sheet.png").exists()
    report = json.loads((written / "new" / "check" / "report.json").read_text())
    assert any("num_queries=1" in warning for warning in report["warnings"])
