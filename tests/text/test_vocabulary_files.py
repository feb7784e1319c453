"""Vocabulary files: round trips and errors that name file and line."""

import gzip
import json
import re

import pytest

from minioneformer.text.vocabulary_files import (
    NUM_CLIP_MERGES,
    read_clip_merges,
    read_vocabulary_folder,
    write_vocabulary_folder,
)

MERGES = [("a", "b"), ("ab", "c</w>"), ("Ã", "©</w>"), ("#", "#")]
IDS = {"a": 0, "b": 1, '"': 2, "Ġ": 3}


def test_what_is_written_is_read(tmp_path):
    write_vocabulary_folder(tmp_path / "new" / "folder", MERGES, IDS)
    assert read_vocabulary_folder(tmp_path / "new" / "folder") == (MERGES, IDS)


def test_files_have_the_published_layout(tmp_path):
    write_vocabulary_folder(tmp_path, MERGES, {"b": 1, "a": 0})
    lines = (tmp_path / "merges.txt").read_bytes().decode().split("\n")
    assert lines == ["#version: 0.2", "a b", "ab c</w>", "Ã ©</w>", "# #", ""]
    assert list(json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))) == ["a", "b"]


def test_a_vocabulary_without_merges_is_read(tmp_path):
    write_vocabulary_folder(tmp_path, [], IDS)
    assert read_vocabulary_folder(tmp_path) == ([], IDS)


def test_merges_without_header_and_with_windows_line_ends_are_read(tmp_path):
    write_vocabulary_folder(tmp_path, MERGES, IDS)
    (tmp_path / "merges.txt").write_bytes(b"a b\r\nab c</w>\r\n")
    assert read_vocabulary_folder(tmp_path)[0] == MERGES[:2]


@pytest.mark.parametrize("merges", [["a b", "ab c"], [["a", "b"], ["ab", "c"]]])
def test_a_single_tokenizer_file_is_read_with_merges_of_either_form(tmp_path, merges):
    content = {"model": {"type": "BPE", "vocab": IDS, "merges": merges}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_vocabulary_folder(tmp_path) == ([("a", "b"), ("ab", "c")], IDS)


def test_vocab_and_merges_are_preferred_to_a_tokenizer_file(tmp_path):
    write_vocabulary_folder(tmp_path, MERGES, IDS)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert read_vocabulary_folder(tmp_path) == (MERGES, IDS)


def test_a_tokenizer_file_without_bpe_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "WordPiece"}}', encoding="utf-8")
    with pytest.raises(ValueError, match="holds no BPE model"):
        read_vocabulary_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no BPE model"):
        read_vocabulary_folder(tmp_path)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_a_missing_file_is_named_with_the_way_out(tmp_path, name):
    write_vocabulary_folder(tmp_path, MERGES, IDS)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{re.escape(name)}.*from_merges_file.*shipped"):
        read_vocabulary_folder(tmp_path)


@pytest.mark.parametrize("line", ["", "a", "a b c", "a  b", " b"])
def test_a_malformed_merge_is_named_by_its_line(tmp_path, line):
    write_vocabulary_folder(tmp_path, MERGES, IDS)
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\na b\n{line}\nb a\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"got {line!r} in line 3 of .*merges.txt"):
        read_vocabulary_folder(tmp_path)


def test_a_vocabulary_that_is_no_json_is_refused(tmp_path):
    write_vocabulary_folder(tmp_path, MERGES, IDS)
    (tmp_path / "vocab.json").write_text('{"a": 0,', encoding="utf-8")
    with pytest.raises(ValueError, match="vocab.json is no JSON file"):
        read_vocabulary_folder(tmp_path)


@pytest.mark.parametrize("content", ['["a"]', '{"a": "0"}', '{"a": 0.0}', '{"a": true}'])
def test_a_vocabulary_must_map_tokens_to_whole_numbers(tmp_path, content):
    write_vocabulary_folder(tmp_path, MERGES, IDS)
    (tmp_path / "vocab.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="vocab.json must map each token to its id"):
        read_vocabulary_folder(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_clip_merges_are_the_lines_after_the_header_and_no_more(tmp_path, packed):
    lines = ["header", *(f"a{i} b" for i in range(NUM_CLIP_MERGES)), "one more", "and more"]
    content = "\n".join(lines).encode()
    path = tmp_path / "merges"  # the content tells whether it is packed, not the name
    path.write_bytes(gzip.compress(content) if packed else content)
    merges = read_clip_merges(path)
    assert len(merges) == 48894
    assert (merges[0], merges[-1]) == (("a0", "b"), ("a48893", "b"))


def test_missing_clip_merges_are_counted(tmp_path):
    (tmp_path / "merges.txt").write_text("header\na b\nb c\n", encoding="utf-8")
    with pytest.raises(ValueError, match="needs 48894 merges after the header line, got 2"):
        read_clip_merges(tmp_path / "merges.txt")


def test_a_malformed_clip_merge_is_named_by_its_line(tmp_path):
    (tmp_path / "merges.txt").write_text("header\na b\nb\n", encoding="utf-8")
    with pytest.raises(ValueError, match="got 'b' in line 3"):
        read_clip_merges(tmp_path / "merges.txt")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "merges.txt.gz"
    path.write_bytes(gzip.compress(b"header\na b\n")[:-9])
    with pytest.raises(ValueError, match=r"merges\.txt\.gz is damaged"):
        read_clip_merges(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"merges\.txt\.gz is damaged"):
        read_clip_merges(path)
