"""`make demo FILES=DIR`: any folder is taken, with whatever names its files have, and only read."""

import os
import re
from pathlib import Path

import pytest

from examples import demo


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(demo.DemoError, match=re.escape(f"{tmp_path / 'scans'} is not a folder")):
        demo.files_of(tmp_path / "scans")


def test_a_folder_without_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "2024" / "january").mkdir(parents=True)
    with pytest.raises(demo.DemoError, match=re.escape(f"there is no file in {tmp_path}")):
        demo.files_of(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(demo.DemoError, match=r"closed can't be read: Permission denied"):
        demo.files_of(tmp_path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"a/b c/IM0001", "a/b c/IM0001"),
        ("Ärzte/スキャン #1?.dcm".encode(), "Ärzte/スキャン #1?.dcm"),
        (b"line\nbreak\r.dcm", "line%0Abreak%0D.dcm"),
        (b"latin-1/M\xfcller.dcm", "latin-1/M%FCller.dcm"),
    ],
)
def test_any_name_of_a_file_becomes_the_name_of_an_object(path: bytes, name: str, tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + path))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    assert demo.files_of(tmp_path) == [(name, file)]


def test_names_that_are_too_long_for_objects_stay_different_and_end_as_before(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["ß" * 100] * 6)
    deep.mkdir(parents=True)
    for name in ("a.dcm", "b.dcm"):
        (deep / name).write_bytes(b"")
    found = [name for name, _ in demo.files_of(tmp_path)]
    assert len(set(found)) == 2
    assert all(len(name.encode()) <= 1024 for name in found)
    assert [name[-6:] for name in found] == ["/a.dcm", "/b.dcm"]
