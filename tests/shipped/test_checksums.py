"""Checksums beside shipped files: a file that is made anew has its own, others have none."""

import hashlib

import pytest

from vae_helpers.shipped import recipes

NOTE = "# made by hand\n\n"


@pytest.fixture
def folder(tmp_path):
    """A folder with a shipped file, one that is not, and a note beside the checksums."""
    for name in ("shipped.bin", "own.bin"):
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / recipes.SUMS).write_text(f"{NOTE}{sha(b'1')}  shipped.bin\n", encoding="utf-8")
    return tmp_path


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_a_changed_file_is_refused_until_its_checksum_is_renewed(folder):
    file = folder / "shipped.bin"
    assert recipes.checked(file) == file
    file.write_bytes(b"2")
    with pytest.raises(ValueError, match=r"git checkout -- shipped.bin.*sha256sum shipped.bin.*SHA256SUMS"):
        recipes.checked(file)
    recipes.renew_sum(file)
    assert recipes.checked(file) == file
    assert (folder / recipes.SUMS).read_text(encoding="utf-8") == f"{NOTE}{sha(b'2')}  shipped.bin\n"


def test_a_file_that_is_not_shipped_gets_no_checksum(folder):
    before = (folder / recipes.SUMS).read_bytes()
    recipes.renew_sum(folder / "own.bin")
    assert (folder / recipes.SUMS).read_bytes() == before
    assert recipes.checked(folder / "own.bin").is_file()
