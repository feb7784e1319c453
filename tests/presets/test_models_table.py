"""The table of published models, and the page that shows it.

Mutants that must fail: columns swapped; a row of the page edited by hand.
"""

from pathlib import Path

from minioneformer.presets.models_table import HEADER, models_table
from minioneformer.presets.published import published_model, published_models

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "published_models.md"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_says_what_and_where():
    models = [published_model("cityscapes_swin_large"), published_model("coco_resnet50")]
    header, rule, first, second = models_table(models).splitlines()
    assert cells(header) == list(HEADER)
    assert set(rule) == set("|- ")
    url = "https://shi-labs.com/projects/oneformer/cityscapes"
    assert cells(first) == [
        "cityscapes_swin_large", "Swin-L", "Cityscapes", "250", "512 x 1024", "219 M",
        "67.2", "45.6", "83.0", "84.4",
        "shi-labs/oneformer_cityscapes_swin_large, "
        f"{url}/250_16_swin_l_oneformer_cityscapes_90k.pth",
    ]  # fmt: skip
    assert cells(second)[6:] == ["51.5", "42.5", "61.2", "-", "-"]
    assert len({len(line) for line in (header, rule, first, second)}) == 1


def test_links_name_the_file_and_lead_to_it():
    (row,) = models_table([published_model("coco_dinat_large")], with_links=True).splitlines()[2:]
    hub = "shi-labs/oneformer_coco_dinat_large"
    file = "150_16_dinat_l_oneformer_coco_100ep.pth"
    assert cells(row)[-1] == (
        f"[{hub}](https://huggingface.co/{hub}), "
        f"[{file}](https://shi-labs.com/projects/oneformer/coco/{file})"
    )


def test_no_models_are_a_table_without_rows():
    assert len(models_table([]).splitlines()) == 2


def test_the_page_shows_the_table_of_the_package():
    """To renew it: put the output of `models_table(with_links=True)` in place of its table."""
    table = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    assert "\n".join(table) == models_table(with_links=True)
    assert len(table) == 2 + len(published_models())
