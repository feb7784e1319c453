"""`minioneformer prepare`: what it says."""

from minioneformer.commands.prepare import prepare
from minioneformer.data.cityscapes_writer import TOY_LABELS, write_cityscapes
from minioneformer.data.toy import ToyPanoptic


def test_it_counts_what_it_wrote_and_what_it_kept(tmp_path, capsys):
    toy = ToyPanoptic(length=2, size=(33, 50))
    write_cityscapes([toy[0], toy[1]], tmp_path, labels=TOY_LABELS)
    prepare("cityscapes", data_root=tmp_path, num_workers=2)
    prepare("cityscapes", data_root=tmp_path)

    path = tmp_path / "gtFine" / "cityscapes_panoptic_train.json"
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: 2 PNGs written, 0 kept, 0 replaced",
        f"{path}: 0 PNGs written, 2 kept, 0 replaced",
    ]


def test_it_says_what_needs_nothing(tmp_path, capsys):
    prepare("coco", data_root=tmp_path)
    assert capsys.readouterr().out == "coco needs no preparation: it is read as it was downloaded\n"
