"""A share of the folders of `python tests/trust idx_files`, and the judge against what it should see."""

import numpy as np
import pytest

from trust import idx_files
from vae_helpers.shipped import idx, images


def test_a_share_of_the_folders_holds():
    for row in idx_files.rows(0.05):
        assert not row.failed, row.line()
        assert row.tried >= 100


@pytest.fixture
def sound(tmp_path):
    return idx_files.make(np.random.default_rng(1), tmp_path, None)


def test_the_judge_sees_a_wrong_pixel_and_a_wrong_label(sound):
    assert not idx_files.judge(sound)
    sound.images[0, 0] += 1e-3
    assert idx_files.judge(sound) == "wrong numbers"
    sound.images[0, 0], sound.labels[0] = sound.images[0, 0] - np.float32(1e-3), sound.labels[0] + 1
    assert idx_files.judge(sound) == "wrong numbers"


@pytest.mark.parametrize("fault", idx_files.FAULTS)
def test_the_judge_sees_a_refusal_without_the_name(tmp_path, monkeypatch, fault):
    made = idx_files.make(np.random.default_rng(2), tmp_path, fault)

    def refuse(*_):
        raise ValueError("damaged")

    monkeypatch.setattr(idx, "load", refuse)
    assert "is not named" in idx_files.judge(made)


def test_the_run_sees_a_loader_that_takes_everything(monkeypatch):
    def careless(folder, split):
        path = next(path for path in sorted(folder.rglob("*")) if path.is_file())
        data = np.frombuffer(path.read_bytes().ljust(20, b"\0"), np.uint8)[16:]
        return data.reshape(1, -1).copy(), np.zeros(1, np.int64)

    monkeypatch.setattr(images.idx, "load", careless)
    assert all(row.failed > 0.9 * row.tried for row in idx_files.rows(0.01))
