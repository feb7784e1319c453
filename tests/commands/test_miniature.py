"""`minioneformer miniature`: what it says, and that the next command takes it."""

from minioneformer.commands.check_data import check_data
from minioneformer.commands.miniature import miniature


def test_it_names_the_command_that_reads_it(tmp_path, capsys):
    root = tmp_path / "mini"
    miniature("cityscapes", root, images=2)
    assert capsys.readouterr().out.splitlines() == [
        f"wrote 2 + 2 images to {root}; look at them with",
        f"  minioneformer check-data cityscapes --data-root {root}",
    ]
    check_data("cityscapes", data_root=root, output=tmp_path / "check", num_workers=0, pictures=0)
    assert (tmp_path / "check" / "report.json").is_file()
