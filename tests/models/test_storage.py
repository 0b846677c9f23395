"""Files of models and checkpoints: what they keep, and that they are whole or not there."""

import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from support.worlds import EACH_LIKELIHOOD, all_weights, generator, small_images, small_vae
from torch import nn

from vae_helpers.models import load, save, storage
from vae_helpers.models.storage import Checkpoint, fingerprint, read, whole_folder, write

RECIPE = {"epochs": 3, "size": (2, 3), "rate": 0.1, "none": None}


def a_training(path, recipe=RECIPE, seed=0):
    """A small network with everything that a training needs."""
    stream = generator(seed)
    model = nn.Linear(3, 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream))
    muon = torch.optim.Muon([model.weight], lr=0.05)
    adam = torch.optim.Adam([model.bias], lr=0.1, betas=(0.9, 0.99), fused=True)
    return Checkpoint(path, recipe, model, [muon, adam], stream)


def go(training, steps):
    for _ in range(steps):
        x = torch.randn(5, 3, generator=training.generator)
        training.model.zero_grad()
        (training.model(x) ** 2).mean().backward()
        for optimizer in training.optimizers:
            optimizer.step()


def flat(value):
    """Everything inside nested dicts and lists, as comparable Python objects."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.tolist()
    if isinstance(value, dict):
        return {key: flat(inner) for key, inner in value.items()}
    return [flat(inner) for inner in value] if isinstance(value, list | tuple) else value


def state(training):
    parts = [training.model, *training.optimizers]
    return [flat(part.state_dict()) for part in parts] + [flat(training.generator.get_state())]


def test_restored_state_is_exactly_the_one_that_was_saved(tmp_path):
    first, second = a_training(tmp_path / "c"), a_training(tmp_path / "c", seed=1)
    go(first, 7)
    first.save(2, {"train": [0.1, 1 / 3]})
    assert state(second) != state(first)
    assert second.restore() == (2, {"train": [0.1, 1 / 3]})
    for restored, saved in zip(state(second), state(first), strict=True):
        assert restored == saved
    go(first, 12)
    go(second, 12)
    assert state(second) == state(first)


def test_restoring_says_nothing(tmp_path, recwarn):
    training = a_training(tmp_path / "c")
    go(training, 3)
    training.save(1, {})
    fresh = a_training(tmp_path / "c")
    fresh.restore()
    go(fresh, 1)
    assert not recwarn.list


def test_without_a_file_training_begins_anew(tmp_path):
    training = a_training(tmp_path / "c")
    before = state(training)
    assert training.restore() == (0, {}) and state(training) == before


def test_saving_again_replaces_and_deleting_takes_away(tmp_path):
    training = a_training(tmp_path / "c")
    for epoch in (1, 2):
        go(training, 1)
        training.save(epoch, {})
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert a_training(tmp_path / "c").restore()[0] == 2
    training.delete()
    training.delete()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change, names",
    [({"epochs": 4}, "epochs"), ({"rate": 0.2, "more": 1}, "more, rate"), ({"none": 0}, "none")],
)
def test_another_recipe_is_refused_and_nothing_moves(tmp_path, change, names):
    training = a_training(tmp_path / "c")
    go(training, 1)
    training.save(1, {})
    other = a_training(tmp_path / "c", RECIPE | change, seed=1)
    before, content = state(other), (tmp_path / "c").read_bytes()
    with pytest.raises(
        ValueError, match=f"^checkpoint: .*c belongs to a training with another {names}; delete"
    ):
        other.restore()
    assert state(other) == before and (tmp_path / "c").read_bytes() == content


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b"",
        lambda b: b[:50],
        lambda b: b[:-1],
        lambda b: b"?" + b[1:],
        lambda b: b.replace(b'"training"', b'"draining"'),
        lambda b: b.replace(b'\\"epoch\\"', b'\\"apoch\\"'),
        lambda b: b.replace(b'{\\"epoch\\"', b'?\\"epoch\\"'),
        lambda b: b.replace(b"optimizer.0.0.momentum", b"optimizer.0.9.momentum"),
        lambda b: b.replace(b"optimizer.1.0.exp_avg_sq", b"optimizer.1.9.exp_avg_sq"),
        lambda b: b.replace(b"model.bias", b"model.bies"),
        lambda b: b.replace(b'"generator":', b'"genarator":'),
    ],
)
def test_a_damaged_file_is_refused_and_nothing_moves(tmp_path, damage):
    path = tmp_path / "c"
    training = a_training(path)
    go(training, 2)
    training.save(1, {})
    content = damage(path.read_bytes())
    assert content != path.read_bytes()
    path.write_bytes(content)
    other = a_training(path, seed=1)
    before = state(other)
    with pytest.raises(ValueError, match="^checkpoint: expected one written by fit at .*c, got: "):
        other.restore()
    assert state(other) == before


@pytest.mark.parametrize("told", ["[]", "null", "3", '{"recipe": 1, "epoch": 1, "history": {}}'])
def test_foreign_metadata_is_refused(tmp_path, told):
    save_file({"a": torch.zeros(1)}, tmp_path / "c", metadata={"training": told})
    with pytest.raises(ValueError, match="^checkpoint: expected one written by fit"):
        a_training(tmp_path / "c").restore()


def test_a_missing_folder_is_told_before_training(tmp_path):
    with pytest.raises(FileNotFoundError, match="^checkpoint: expected an existing folder, got .*nowhere"):
        a_training(tmp_path / "nowhere" / "c").restore()


@pytest.mark.parametrize("fails", ["write", "replace"])
def test_an_interrupted_save_leaves_the_old_state_whole(tmp_path, monkeypatch, fails):
    training = a_training(tmp_path / "c")
    go(training, 1)
    training.save(1, {})
    content = (tmp_path / "c").read_bytes()

    def half_written(filename, content):
        filename.write_text("half")
        raise KeyboardInterrupt

    def no_replace(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        *((storage.Path, "write_bytes", half_written) if fails == "write" else (os, "replace", no_replace))
    )
    with pytest.raises(KeyboardInterrupt):
        training.save(2, {})
    assert (tmp_path / "c").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_an_error_of_the_disk_names_the_file_and_not_its_first_name(tmp_path, monkeypatch):
    def full(filename, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage.Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/m'$"):
        save(small_vae(), tmp_path / "m")


def test_what_a_killed_process_left_is_taken_away_and_nothing_else(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    node = storage._NODE
    dead, alive, far, other = (
        tmp_path / f"c.{node}-{gone.pid}-0a.part",
        tmp_path / f"c.{node}-{os.getpid()}-0a.part",
        tmp_path / f"c.another_machine-{gone.pid}-0a.part",
        tmp_path / f"d.{node}-{gone.pid}-0a.part",
    )
    for path in (dead, alive, far, other):
        path.write_text("half")
    a_training(tmp_path / "c").save(1, {})
    assert set(tmp_path.iterdir()) == {tmp_path / "c", alive, far, other}


def test_any_turned_bit_is_told_or_changes_nothing(tmp_path):
    model, path = small_vae(), tmp_path / "m"
    save(model, path)
    content, told = path.read_bytes(), 0
    for bit in np.random.default_rng(0).choice(8 * len(content), 300, replace=False):
        turned = bytearray(content)
        turned[bit // 8] ^= 1 << bit % 8
        path.write_bytes(turned)
        try:
            loaded = load(path)
        except ValueError as error:
            assert f"{path}: expected a model written by save" in str(error)
            told += 1
        else:
            assert loaded.config == model.config and torch.equal(all_weights(loaded), all_weights(model))
    assert told >= 290  # others are in the name of the checksum


def test_a_file_without_a_checksum_is_read_and_the_same_model_makes_the_same_file(tmp_path):
    model = small_vae()
    metadata = {"config": json.dumps(model.config)}
    save_file(model.state_dict(), tmp_path / "old", metadata=metadata)
    assert torch.equal(all_weights(load(tmp_path / "old")), all_weights(model))
    for name in "abcdefgh":
        save(model, tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abcdefgh"}) == 1


def test_a_pickle_is_refused_and_not_run(tmp_path):
    class Program:
        def __reduce__(self):
            return (Path.write_text, (tmp_path / "ran", "by whoever made the file"))

    (tmp_path / "m").write_bytes(pickle.dumps(Program()))
    with pytest.raises(ValueError, match="expected a model written by save"):
        load(tmp_path / "m")
    with pytest.raises(ValueError, match="expected one written by fit"):
        a_training(tmp_path / "m").restore()
    assert not (tmp_path / "ran").exists()
    pickle.loads((tmp_path / "m").read_bytes())  # what it would have done
    assert (tmp_path / "ran").exists()


def test_a_file_is_opened_once_so_that_another_may_take_its_place_meanwhile(tmp_path, monkeypatch):
    first, read_bytes = small_vae(seed=1), Path.read_bytes
    save(first, tmp_path / "m")
    save(small_vae(seed=2), tmp_path / "new")

    def and_replaced(path):
        content = read_bytes(path)
        os.replace(tmp_path / "new", path)
        return content

    monkeypatch.setattr(storage.Path, "read_bytes", and_replaced)
    assert torch.equal(all_weights(load(tmp_path / "m")), all_weights(first))


def test_another_process_that_ends_first_takes_the_checkpoint_away(tmp_path, monkeypatch):
    training = a_training(tmp_path / "c")
    training.save(1, {})
    monkeypatch.setattr(storage.Path, "is_file", lambda path: (path.unlink(missing_ok=True), True)[1])
    assert training.restore() == (0, {})


def test_write_and_read_bring_back_tensors_and_metadata(tmp_path):
    tensors = {"a": torch.arange(3), "b": torch.tensor(1.5, dtype=torch.float16)}
    write(str(tmp_path / "f"), tensors, {"told": json.dumps([1])})
    found, metadata = read(str(tmp_path / "f"))
    assert metadata == {"told": "[1]"} and found.keys() == tensors.keys()
    assert all(
        torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in found
    )
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644  # for everybody to read


def test_fingerprints_tell_tensors_apart():
    x = small_images()
    changed = x.clone()
    changed[39, 5] = torch.nextafter(changed[39, 5], torch.tensor(2.0))
    same = x.t().contiguous().t()  # another order in memory
    assert fingerprint(x) == fingerprint(x.clone()) == fingerprint(same)
    assert len({fingerprint(t) for t in (x, changed, x[:39], x.flip(0), x.reshape(6, 40))}) == 5


# --- Models -------------------------------------------------------------------------------------------


@EACH_LIKELIHOOD
@pytest.mark.parametrize("as_path", [str, lambda p: p], ids=["str", "Path"])
def test_load_gives_back_what_was_saved(tmp_path, likelihood, as_path):
    model = small_vae(likelihood, num_hidden=2, activation="tanh").train()
    torch.manual_seed(9)
    state = torch.get_rng_state()
    save(model, as_path(tmp_path / "m.safetensors"))
    loaded = load(as_path(tmp_path / "m.safetensors"))
    assert torch.equal(torch.get_rng_state(), state)
    assert loaded.config == model.config and loaded.likelihood == likelihood
    assert not loaded.training and model.training
    assert list(loaded.state_dict()) == list(model.state_dict())
    for name, value in loaded.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, model.state_dict()[name])
    assert all(p.requires_grad for p in loaded.parameters())
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_half_precision_halves_the_file(tmp_path):
    model = small_vae("gaussian", hidden_dim=200, num_hidden=2)
    save(model, tmp_path / "full")
    save(model, tmp_path / "half", torch.float16)
    assert (tmp_path / "half").stat().st_size < 0.51 * (tmp_path / "full").stat().st_size


def test_half_precision_rounds_once_and_leaves_the_model(tmp_path):
    model = small_vae("gaussian")
    save(model, tmp_path / "half", torch.float16)
    for name, value in load(tmp_path / "half").state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, model.state_dict()[name].half().float())
    assert next(model.parameters()).dtype == torch.float32


def test_the_file_is_safetensors_with_the_config_as_json(tmp_path):
    model = small_vae()
    save(model, tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["config"]) == model.config
    assert set(header) == {"__metadata__", *model.state_dict()}
    with safe_open(tmp_path / "m", framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("encoder.0.bias"), model.encoder[0].bias.detach())


@pytest.mark.parametrize("fails", ["write", "replace"])
@pytest.mark.parametrize("old", [False, True], ids=["new", "over_old"])
def test_an_interrupted_save_leaves_the_old_file_whole_and_no_rubbish(tmp_path, monkeypatch, old, fails):
    path = tmp_path / "m.safetensors"
    if old:
        save(small_vae(seed=1), path)
    before = path.read_bytes() if old else None

    def half_written(filename, content):
        filename.write_text("half")
        raise OSError("disk full")

    def no_replace(*args):
        raise OSError("disk full")

    if fails == "write":
        monkeypatch.setattr(storage.Path, "write_bytes", half_written)
    else:
        monkeypatch.setattr(storage.os, "replace", no_replace)
    with pytest.raises(OSError, match="disk full"):
        save(small_vae(seed=2), path)
    assert [p.name for p in tmp_path.iterdir()] == (["m.safetensors"] if old else [])
    assert not old or path.read_bytes() == before


def test_save_replaces_an_older_file(tmp_path):
    save(small_vae(seed=1), tmp_path / "m")
    save(small_vae(seed=2), tmp_path / "m")
    assert torch.equal(all_weights(load(tmp_path / "m")), all_weights(small_vae(seed=2)))


def test_save_into_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="path: expected an existing folder, got .*not_here"):
        save(small_vae(), tmp_path / "not_here" / "m.safetensors")


def test_load_of_nothing_says_where_it_looked(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"path: expected .*{path.name}"):
            load(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b"",
        lambda b: b[:4],
        lambda b: b[:100],
        lambda b: b[:-1],
        lambda b: b + b"?",
        lambda b: b"?" + b[1:],
        lambda b: b.replace(b"latent_dim", b"latent_dum"),
        lambda b: b.replace(b"decoder.0.bias", b"decoder.9.bias"),
        lambda b: b"PK\x03\x04 what torch.save writes",
    ],
)
def test_a_damaged_or_foreign_file_is_no_model(tmp_path, damage):
    path = tmp_path / "broken.safetensors"
    save(small_vae(), path)
    content = damage(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.safetensors: expected a model written by save"):
        load(path)


CHANGES = [{"hidden_dim": 9}, {"extra": 1}, {"latent_dim": -1}, {"likelihood": "gaussian"}]
CONFIGS = ["", "[1]", "null", "{}", *(json.dumps(small_vae().config | change) for change in CHANGES)]


@pytest.mark.parametrize("metadata", [None, {"other": "x"}, *({"config": config} for config in CONFIGS)])
def test_safetensors_with_another_config_are_no_model(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file(small_vae().state_dict(), path, metadata=metadata)
    with pytest.raises(ValueError, match=r"foreign\.safetensors: expected a model written by save"):
        load(path)


# ---- folders ------------------------------------------------------------------------------------

MARK = ".made-by-a-test"


def make(folder, **files):
    """Makes a folder of these files, each with a text."""
    with whole_folder(folder, MARK) as made:
        assert made.parent == folder.parent and not made.exists()
        (made / "deep").mkdir(parents=True)
        for name, text in files.items():
            (made / "deep" / name).write_text(text, encoding="utf-8")


def texts(folder):
    """All files below a folder, but for the mark."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != MARK)
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in found}


def test_a_folder_takes_the_place_of_one_that_was_made_before(tmp_path):
    make(tmp_path / "new" / "out", one="1", two="2")
    make(tmp_path / "new" / "out", one="3")
    assert texts(tmp_path) == {"new/out/deep/one": "3"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"], "nothing is left beside it"


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    make(tmp_path / "out", one="1")
    assert texts(tmp_path) == {"out/deep/one": "1"}


def _add(out):
    (out / "deep" / "thesis").write_text("mine", encoding="utf-8")


def _change(out):
    (out / "deep" / "one").write_text("2", encoding="utf-8")


def _another_mark(out):
    (out / MARK).rename(out / ".another")


def _no_list(out):
    (out / MARK).write_text("", encoding="utf-8")


def _a_file(out):
    shutil.rmtree(out)
    out.write_text("mine", encoding="utf-8")


@pytest.mark.parametrize("spoil", [_add, _change, _another_mark, _no_list, _a_file])
def test_a_folder_with_anything_else_is_left_alone(tmp_path, spoil):
    make(tmp_path / "out", one="1")
    spoil(tmp_path / "out")
    before = texts(tmp_path)
    with pytest.raises(FileExistsError, match="path: expected an empty folder, or what was made there"):
        with whole_folder(tmp_path / "out", MARK):
            pytest.fail("it was refused after the work, and not before")
    assert texts(tmp_path) == before


def test_what_comes_in_the_meantime_is_kept(tmp_path):
    make(tmp_path / "out", one="1")
    with pytest.raises(FileExistsError, match="where deep/thesis is new or changed"):
        with whole_folder(tmp_path / "out", MARK) as made:
            made.mkdir()
            _add(tmp_path / "out")
    assert texts(tmp_path) == {"out/deep/one": "1", "out/deep/thesis": "mine"}


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_after_an_interruption_the_earlier_folder_is_there(tmp_path, stop):
    make(tmp_path / "out", one="1")
    with pytest.raises(stop):
        with whole_folder(tmp_path / "out", MARK) as made:
            made.mkdir()
            (made / "half").write_text("half", encoding="utf-8")
            raise stop
    assert texts(tmp_path) == {"out/deep/one": "1"}


def test_a_folder_that_cannot_be_moved_leaves_the_earlier_one(tmp_path, monkeypatch):
    make(tmp_path / "out", one="1")
    real = os.replace

    def full(source, target):
        if str(source).endswith(".part"):
            raise OSError("disk full")
        real(source, target)

    monkeypatch.setattr(storage.os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        make(tmp_path / "out", one="2")
    assert texts(tmp_path) == {"out/deep/one": "1"}


# ---- precision, places ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64, "float16", 16, float])
def test_weights_are_stored_as_floating_point_numbers_alone(tmp_path, dtype):
    with pytest.raises(ValueError, match="^dtype: expected None or one of torch.float16, .*, got "):
        save(small_vae(), tmp_path / "m", dtype)
    assert not list(tmp_path.iterdir())


def test_double_precision_comes_back_as_such(tmp_path):
    model = small_vae().double()
    with torch.no_grad():
        model.decoder[0].weight += 1e-12  # which single precision does not hold
    save(model, tmp_path / "m")
    for name, value in load(tmp_path / "m").state_dict().items():
        assert value.dtype == torch.float64 and torch.equal(value, model.state_dict()[name])
    save(model, tmp_path / "m", torch.float32)
    assert next(load(tmp_path / "m").parameters()).dtype == torch.float32


def test_weights_that_a_dtype_does_not_hold_are_told(tmp_path):
    model = small_vae()
    with torch.no_grad():
        model.decoder[0].weight[0, 0] = 1e6
    with pytest.raises(ValueError, match="^dtype: expected one that holds the weights, got torch.float16"):
        save(model, tmp_path / "m", torch.float16)
    assert not list(tmp_path.iterdir())
    save(model, tmp_path / "m", torch.bfloat16)


def test_a_folder_is_no_place_for_a_file(tmp_path):
    for place in (tmp_path, ""):
        with pytest.raises(ValueError, match="^path: expected a file, got the folder "):
            save(small_vae(), place)
    assert not list(tmp_path.iterdir())


def test_the_home_folder_has_its_short_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save(small_vae(), "~/m.safetensors")
    assert (tmp_path / "m.safetensors").is_file()
    assert load("~/m.safetensors").config == small_vae().config


@pytest.mark.parametrize("place", [None, 3, b"m", ["m"]])
def test_what_is_no_path_is_told(place):
    for act in (load, lambda path: save(small_vae(), path)):
        with pytest.raises(TypeError, match="^path: expected a path, got "):
            act(place)
