import os

import pytest

from minioneformer.atomic import write_bytes_atomically, write_text_atomically


def test_bytes_and_text_arrive_as_they_are_and_nothing_is_left_beside_them(tmp_path):
    write_bytes_atomically(tmp_path / "a.bin", b"\x00\r\n\xff")
    write_text_atomically(str(tmp_path / "b.txt"), "Wörter\r\nund\n")
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\r\n\xff"
    assert (tmp_path / "b.txt").read_bytes() == "Wörter\r\nund\n".encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "b.txt"]


def test_a_file_of_that_name_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    write_text_atomically(path, "a long first version")
    write_text_atomically(path, "short")
    assert path.read_text() == "short"


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_half_of_the_new_one(tmp_path, monkeypatch, broken):
    path = tmp_path / "a.txt"
    write_text_atomically(path, "old")

    def fail(*args):
        raise OSError("no space left")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="no space left"):
        write_text_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_bytes_atomically(tmp_path / "nowhere" / "a.bin", b"")


def test_text_that_is_no_unicode_touches_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        write_text_atomically(tmp_path / "a.txt", "\ud800")
    assert list(tmp_path.iterdir()) == []
