"""Folders of others' making can be removed, whatever they are like."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foundry.core.files import remove_tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (made := tmp_path / "made").mkdir()
    (made / "link").symlink_to(tmp_path / "kept")
    (made / "shut").mkdir()
    (made / "shut" / "file").write_text("x")
    (made / "shut" / "inner").mkdir(mode=0)
    (made / "shut").chmod(0)
    return made


def test_what_is_shut_and_what_is_deep_goes_and_what_a_link_leads_to_stays(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(2000):  # a path of them all is longer than any that can be opened
        os.mkdir("deeper", dir_fd=handle)
        inside = os.open("deeper", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inside
    os.close(handle)
    remove_tree(folder)
    assert not folder.exists() and (folder.parent / "kept" / "file").read_text() == "x"


def test_a_link_in_its_place_goes_and_nothing_is_no_error(tmp_path: Path, folder: Path) -> None:
    (link := tmp_path / "elsewhere").symlink_to(folder)
    remove_tree(link)
    remove_tree(tmp_path / "nothing")
    assert not link.is_symlink() and folder.exists()
    remove_tree(folder)
