"""Processes that are killed, files that are damaged, disks that are full, two at once, and foreign programs.

A killed or doubled training is compared bit by bit with an unbroken one.
"""

from __future__ import annotations

import ast
import io
import itertools
import json
import multiprocessing
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # which the first step of an optimizer would load, in each process anew

from trust.idx_files import flipped, idx, nobody
from trust.ledger import ROOT, Row
from vae_helpers.audit import __main__ as audit
from vae_helpers.classroom import _handed_in
from vae_helpers.experiments import sweep
from vae_helpers.models import VAE, fit, load, save, storage
from vae_helpers.shipped import burda, images, mistakes, pretrained, recipes, spread

TESTS = ROOT / "tests"
SEED = 6
KILLS, COMMAND_KILLS = 50, 6  # of `fit`, and of each of two commands; of a sweep, which starts more slowly:
SWEEP_KILLS = 3
DAMAGES, FULL, PAIRS, LOADS = 480, 60, 8, 300
SIZE = 64  # pixels
EPOCHS = 20
TINY = {"model": {"latent_dim": 2, "hidden_dim": 128}, "fit": {"epochs": 12, "batch_size": 20}}
SWEEP = "--latent-dims 1 2 --hidden-dims 8 --seeds 1 2 --epochs 2 --workers 1".split()


# --- What is trained ---------------------------------------------------------------------------------------


def grey(count: int = 60) -> np.ndarray:
    """Images of eight by eight pixels."""
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8), np.uint8)


def model_of(seed: int = 1, hidden_dim: int = 128) -> VAE:
    """A network whose checkpoint takes longer to write than an epoch takes."""
    generator = torch.Generator().manual_seed(seed)
    return VAE(2, hidden_dim=hidden_dim, data_dim=SIZE, generator=generator)


def trained(checkpoint: Path | None, optimizer: str, epochs: int = EPOCHS) -> VAE:
    """A training, as a whole or as far as it still has to go."""
    model, x = model_of(), torch.from_numpy(grey()).flatten(1) / 255
    generator, precision = torch.Generator().manual_seed(2), torch.float32
    options = {"optimizer": optimizer, "batch_size": len(x), "progress": False, "precision": precision}
    fit(model, x, epochs, generator=generator, checkpoint=checkpoint, **options)
    return model


def same(one: VAE, other: VAE) -> bool:
    """Whether two models agree bit by bit."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def own_data(folder: Path) -> Path:
    """A folder of such images."""
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_bytes(idx(grey()))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(idx(np.arange(60, dtype=np.uint8) % 10))
    return folder


# --- What other processes do: each is started by its name ------------------------------------------------


def in_fit(checkpoint: str, optimizer: str, out: str) -> None:
    """Trains, and stores the model under a name of its own."""
    save(trained(Path(checkpoint), optimizer), out)


def in_pretrained(data: str, out: str) -> int:
    """The command that makes the shipped models, of two tiny ones."""
    pretrained.RECIPES = {"a": TINY, "b": TINY | {"seeds": {"model": 5, "training": 6}}}
    return pretrained.main(["a", "b", "--data", data, "--folder", out, "--workers", "1"])


def in_burda(data: str, out: str) -> int:
    """The command that makes the models beside the literature, of a tiny one."""
    burda.RECIPES = {"vae": {**TINY, "fit": TINY["fit"] | {"num_samples": 1, "warmup": 0.0}}}
    return burda.main(["vae", "--data", data, "--folder", out, "--num-samples", "2", "--threads", "1"])


def in_sweep(data: str, out: str) -> int:
    """A sweep of four tiny models."""
    return sweep.main([*SWEEP, "--data", data, "--folder", out])


def in_writer(path: str, count: str) -> None:
    """Writes two models in turn to one place."""
    pair = [model_of(seed) for seed in (1, 2)]
    for number in range(int(count)):
        save(pair[number % 2], path)


_FORKS = multiprocessing.get_context("forkserver")  # PyTorch is loaded once, and not for each process


class Process:
    """A process that does one of these; what it says is kept."""

    def __init__(self, name: str, *arguments: Any) -> None:
        handle, said = tempfile.mkstemp()
        os.close(handle)
        self.said = Path(said)
        kept = {key: os.environ.get(key) for key in ("PYTHONPATH", "OMP_NUM_THREADS")}
        os.environ |= {"PYTHONPATH": f"{TESTS}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
        try:
            _FORKS.set_forkserver_preload(["trust.faults"])
            here, there = _FORKS.Pipe(duplex=False)
            self._process = _FORKS.Process(target=_work, args=(there, name, said, *map(str, arguments)))
            self._process.start()
            there.close()
            here.recv()  # that it begins its work
            self.started = time.monotonic()
        finally:
            for key, value in kept.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})

    def end(self, kill_after: float | None = None) -> tuple[int, str, float]:
        """Waits for the end, or kills it after some seconds: its code, what it said, how long it took."""
        if kill_after is not None:
            self._process.join(kill_after)
            self._process.kill()
        self._process.join()
        seconds, said = time.monotonic() - self.started, self.said.read_text(encoding="utf-8")[-300:]
        self.said.unlink()
        return self._process.exitcode, said, seconds

    def runs(self) -> bool:
        """Whether it is still at work."""
        return self._process.is_alive()


def _work(begun: Connection, name: str, said: str, *arguments: str) -> None:
    with open(said, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    begun.send(None)
    sys.exit(globals()[f"in_{name}"](*arguments))


def run(name: str, *arguments: Any, kill_after: float | None = None) -> tuple[int, str, float]:
    """Runs a process, to the end or until it is killed."""
    return Process(name, *arguments).end(kill_after)


@contextmanager
def place() -> Iterator[Path]:
    """A folder for a try, that everybody may look into."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def one_thread() -> Iterator[None]:
    """As the other processes have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Tally:
    """Counts tries and those that failed, and keeps the first failure."""

    def __init__(self) -> None:
        self.tried, self.failed, self.first = 0, 0, ""

    def add(self, problem: str) -> None:
        """Counts a try; the text says what went wrong, if anything did."""
        self.tried += 1
        if problem:
            self.failed += 1
            self.first = self.first or " ".join(problem.split())[-300:]

    def row(self, what: str, of: str, found: str = "") -> Row:
        """The row of the page."""
        return Row(what, self.tried, of, self.failed, self.first or found)


def times(share: float, whole: int, least: int = 1) -> int:
    """How many tries of the long run a share of it makes."""
    return max(least, round(share * whole))


# --- Killed ------------------------------------------------------------------------------------------------


def killed_trainings(share: float, seed: int = SEED) -> Row:
    """`fit`, killed at random moments from its first step to its last write, then gone on with here."""
    rng, tally, halves, none = np.random.default_rng(seed), Tally(), 0, 0
    with one_thread(), place() as folder:
        whole = {name: trained(None, name) for name in ("adam", "muon")}
        seconds = {name: run("fit", folder / "c", name, folder / "m")[2] for name in whole}
        (folder / "m").unlink()
        while tally.tried < times(share, KILLS, 2):
            optimizer = ("adam", "muon")[tally.tried % 2]
            after = rng.uniform(0, seconds[optimizer])
            code, said, took = run("fit", folder / "c", optimizer, folder / "m", kill_after=after)
            if code == 0:  # it was faster this time
                seconds[optimizer] = min(took, seconds[optimizer])
                (folder / "m").unlink()
                continue
            halves += any(path.suffix == ".part" for path in folder.iterdir())
            none += not (folder / "c").exists()
            tally.add(_gone_on(folder, optimizer, whole[optimizer]) if code == -signal.SIGKILL else said)
            for path in folder.iterdir():
                path.unlink()
    return tally.row(
        "A training that is killed leaves a whole checkpoint or none yet, goes on to the same weights bit by "
        "bit, and nothing unfinished stays",
        "kills",
        f"{halves} in the middle of a write, {none} before the first checkpoint",
    )


def _gone_on(folder: Path, optimizer: str, whole: VAE) -> str:
    try:
        if (folder / "c").exists():
            storage.read(folder / "c")
        model = trained(folder / "c", optimizer)
    except Exception as error:  # any is a failure
        return f"{type(error).__name__}: {error}"
    left = {path.name for path in folder.iterdir()} - {"m"}
    return "" if same(model, whole) and not left else f"other weights, or left: {left}"


def killed_commands(share: float) -> Row:
    """Commands that train and go on when they are started again."""
    rng, tally, ends = np.random.default_rng(SEED + 1), Tally(), 0
    with place() as folder:
        data = own_data(folder / "data")
        whole = {"pretrained": COMMAND_KILLS, "burda": COMMAND_KILLS, "sweep": SWEEP_KILLS}
        for name, kills in whole.items():
            code, said, seconds = run(name, data, folder / name)
            if code:
                raise RuntimeError(f"{name} fails: {said}")
            wanted, out = results(folder / name), folder / f"{name}-killed"
            wanted_kills = tally.tried + times(share, kills)
            while tally.tried < wanted_kills:
                code, _, took = run(name, data, out, kill_after=rng.uniform(0, 0.7 * seconds))
                if code != -signal.SIGKILL:  # it was faster this time
                    seconds = min(took, seconds)
                    continue
                left = {path for path in out.rglob("*") if path.suffix != ".part"} if out.exists() else set()
                bad = [path.name for path in left if path.is_file() and not readable(path)]
                tally.add(f"{name}: not whole: {bad}" if bad else "")
            code, said, _ = run(name, data, out)
            ends += 1
            tally.add("" if code == 0 and results(out) == wanted else f"{name}: other results, {said}")
    return tally.row(
        "Commands that are killed again and again (the shipped models, those beside the literature, a sweep) "
        "leave whole files, and come to the same results when they are started again",
        "kills and ends",
        f"{ends} commands",
    )


def readable(path: Path) -> bool:
    """Whether a file that a command made is whole."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix in (".safetensors", ".checkpoint"):
            storage.read(path)
    except Exception:  # any is a failure
        return False
    return True


def results(folder: Path) -> dict[str, Any]:
    """All that a command has made, without what is of a clock."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".json":
            found[path.name] = _without_seconds(json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix == ".safetensors":
            found[path.name] = path.read_bytes()
        else:
            found[path.name] = None
    return found


def _without_seconds(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_seconds(value) for key, value in content.items() if key != "seconds"}
    return [_without_seconds(value) for value in content] if isinstance(content, list) else content


# --- Damaged -----------------------------------------------------------------------------------------------

DAMAGE = ("cut short", "bit turned", "swapped", "missing", "empty", "web page")
REMEDY = r"restore it|delete it|another copy|get it again|damaged|expected .* found n|swapped|web page|empty"


class Loader:
    """A way by which files are loaded.

    Args:
        name: of the way.
        files: those that it reads, in a folder of their own; the first may be damaged.
        other: the content of another file of the kind, for the swap.
        loads: loads them, and gives what can be compared.
        missing_ok: whether it makes do without.
    """

    def __init__(
        self, name: str, file: Path, other: bytes, loads: Callable[[], Any], missing_ok: bool = False
    ) -> None:
        self.name, self.file, self.other, self.loads = name, file, other, loads
        self.missing_ok, self.content = missing_ok, file.read_bytes()


def _weights(model: VAE) -> list[Any]:
    return [value.tolist() for value in model.state_dict().values()]


def loaders(folder: Path) -> list[Loader]:
    """Models, checkpoints, images, and the files that ship, copied into a folder."""
    save(model_of(hidden_dim=8), folder / "mine.safetensors")
    found = [
        Loader(
            "model",
            folder / "mine.safetensors",
            b"",
            lambda: _weights(load(folder / "mine.safetensors")),
        )
    ]
    with suppress(InterruptedError):
        _stopped(folder / "other.checkpoint", 3)
    with suppress(InterruptedError):
        _stopped(folder / "my.checkpoint", 2)

    def go_on() -> list[Any]:
        model = _stopped(folder / "my.checkpoint", 2, stop=False)
        return _weights(model)

    found.append(
        Loader(
            "checkpoint",
            folder / "my.checkpoint",
            (folder / "other.checkpoint").read_bytes(),
            go_on,
            missing_ok=True,
        )
    )
    fashion = shutil.copytree(images.FASHION, folder / "fashion")
    pair = [fashion / f"t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    for one, two in (pair, pair[::-1]):
        found.append(
            Loader(
                "images",
                one,
                two.read_bytes(),
                lambda: [a.tolist() for a in images.load_idx(fashion, "test")],
            )
        )
    weights = folder / "weights"
    (weights / "burda").mkdir(parents=True)
    for name in (
        recipes.SUMS,
        "digits_2.safetensors",
        "latent_2.safetensors",
        "spread.json",
        "mistakes.json",
    ):
        shutil.copy(recipes.FOLDER / name, weights / name)
    for name in (recipes.SUMS, "vae.safetensors", "vae.test.safetensors", "vae.json", "wide.json"):
        shutil.copy(burda.FOLDER / name, weights / "burda" / name)
    shutil.copy(images.MNIST_PATH, weights / "mnist.npz")
    pretrained.FOLDER = spread.FOLDER = weights
    burda.FOLDER, mistakes.FILE = weights / "burda", weights / "mistakes.json"
    images.MNIST_PATH = weights / "mnist.npz"
    latent = (weights / "latent_2.safetensors").read_bytes()
    ways: dict[str, tuple[bytes, Callable[[], Any]]] = {
        "digits_2.safetensors": (latent, lambda: _weights(pretrained.load_pretrained("digits_2"))),
        "spread.json": (b"{}", lambda: str(spread.load_spread("latent_2"))),
        "mistakes.json": (b"{}", lambda: str(mistakes.load_mistakes())),
        "burda/vae.safetensors": (latent, lambda: _weights(burda.load_trained("vae"))),
        "burda/vae.test.safetensors": (latent, lambda: burda.load_test_nll("vae").tolist()),
        "burda/vae.json": ((weights / "burda" / "wide.json").read_bytes(), lambda: burda.load_log("vae")),
        "mnist.npz": (latent, lambda: images.load_mnist("test")[1].tolist()),
    }
    return found + [Loader(name, weights / name, *way) for name, way in ways.items()]


def _stopped(checkpoint: Path, epochs: int, stop: bool = True) -> VAE:
    """A tiny training that is stopped in its last epoch, or goes on."""
    model, x = model_of(hidden_dim=8), torch.from_numpy(grey()).flatten(1) / 255

    def last(done: int, total: int, loss: float) -> None:
        if stop and done == total:
            raise InterruptedError

    fit(
        model,
        x,
        epochs,
        batch_size=20,
        precision=torch.float32,
        progress=False,
        checkpoint=checkpoint,
        keep_checkpoint=True,
        generator=torch.Generator().manual_seed(1),
        on_step=last,
    )
    return model


@contextmanager
def _places_kept() -> Iterator[None]:
    """The shipped files are looked for in their own place afterwards."""
    kept = (pretrained.FOLDER, spread.FOLDER, burda.FOLDER, mistakes.FILE, images.MNIST_PATH)
    try:
        yield
    finally:
        pretrained.FOLDER, spread.FOLDER, burda.FOLDER, mistakes.FILE, images.MNIST_PATH = kept


def damaged_files(share: float) -> Row:
    """Cut short, with a turned bit, swapped, missing, empty, or a web page in its place."""
    rng, tally, harmless = np.random.default_rng(SEED + 2), Tally(), 0
    with _places_kept(), place() as folder:
        ways = loaders(folder)
        expected = [way.loads() for way in ways]
        count = times(share, DAMAGES, len(ways))
        for number in range(count):
            way = ways[number % len(ways)]
            damage = DAMAGE[(number // len(ways)) % len(DAMAGE)]
            if damage == "swapped" and not way.other or damage == "missing" and way.missing_ok:
                damage = "bit turned"  # another good model in its place cannot be told from the right one
            content = {
                "cut short": lambda c: c[: int(rng.integers(1, len(c)))],
                "bit turned": lambda c: flipped(c, int(rng.integers(0, 8 * len(c)))),
                "swapped": lambda c, other=way.other: other,
                "missing": lambda c: c,
                "empty": lambda c: b"",
                "web page": lambda c: b"<!DOCTYPE html><html>404</html>",
            }[damage](way.content)
            way.file.write_bytes(content)
            if damage == "missing":
                way.file.unlink()
            problem, exact = _refused(way, damage, expected[number % len(ways)])
            harmless += exact
            tally.add(problem)
            way.file.write_bytes(way.content)
    return tally.row(
        "Models, checkpoints, images and shipped files that are cut short, swapped, missing, replaced, or "
        "have one bit turned are refused, with the file and what to do",
        "files",
        f"{len(ways)} ways of loading; {harmless} turned bits that carry nothing, and change nothing",
    )


def _refused(way: Loader, damage: str, expected: Any) -> tuple[str, bool]:
    """What went wrong, and whether the damage changed nothing."""
    try:
        found = way.loads()
    except (ValueError, FileNotFoundError) as error:
        said = str(error)
        name = way.file.name.removesuffix(".gz")
        good = name in said and re.search(REMEDY, said)
        return ("" if good else f"{way.name}, {damage}: {said}"), False
    except Exception as error:  # any other is a failure
        return f"{way.name}, {damage}: {type(error).__name__}: {error}", False
    exact = damage == "bit turned" and found == expected
    return ("" if exact else f"{way.name}, {damage}: loaded"), exact


# --- No room, no right --------------------------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Lets no file grow beyond a size, as if the disk were full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """A disk of so many bytes, where this may be made (by root, on Linux); says whether it is."""
    made = False
    if shutil.which("mount") and os.geteuid() == 0:
        options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        made = subprocess.run(["mount", *options], capture_output=True).returncode == 0
    try:
        yield made
    finally:
        if made:
            subprocess.run(["umount", str(folder)], check=True)


def no_room(share: float) -> Row:
    """A disk that is full, and a folder that takes no files."""
    rng, tally, kinds = np.random.default_rng(SEED + 3), Tally(), {"limit": 0, "disk": 0, "read-only": 0}
    with one_thread():
        whole = trained(None, "adam", 3)
        for number in range(times(share, FULL, 6)):
            what, where = ("model", "json", "checkpoint")[number % 3], list(kinds)[number // 3 % 3]
            with place() as outer:
                folder = outer / "disk"
                folder.mkdir()
                with small_disk(folder, 1 << 17) if where == "disk" else nullcontext() as made:
                    if where == "disk" and not made:
                        where = "limit"
                    kinds[where] += 1
                    tally.add(_without_room(folder, what, where, int(rng.integers(0, 30_000)), whole))
    return tally.row(
        "On a full disk or in a folder that takes no files the earlier file stays whole, nothing unfinished "
        "stays, the message names the file and the reason, and a training goes on to the same weights",
        "writes",
        ", ".join(f"{count} by a {kind}" for kind, count in kinds.items() if count)
        .replace("a limit", "a limit of size")
        .replace("a read-only", "a read-only folder")
        .replace("a disk", "a small disk"),
    )


def _without_room(folder: Path, what: str, where: str, room: int, whole: VAE) -> str:
    path = folder / what
    write: dict[str, Callable[[], Any]] = {
        "model": lambda: save(model_of(2), path),
        "json": lambda: recipes.write_json(path, {"a": list(range(10_000))}),
        "checkpoint": lambda: trained(path, "adam", 3),
    }
    first: dict[str, Callable[[], Any]] = {
        "model": lambda: save(model_of(1, 4), path),
        "json": lambda: recipes.write_json(path, {"a": 1}),
        "checkpoint": lambda: None,  # the first of the training itself
    }
    first[what]()
    before = path.read_bytes() if path.exists() else None
    if where == "disk":
        free = os.statvfs(folder)
        (folder / "filler").write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - room // 4096 * 4096)))
    how: dict[str, Callable[[], Any]] = {
        "limit": lambda: largest_file(room),
        "disk": nullcontext,
        "read-only": nobody,
    }
    if where == "read-only":
        folder.chmod(0o555)
    model, said = None, ""
    with warnings.catch_warnings(record=True) as told, how[where]():
        warnings.simplefilter("always")
        try:
            model = write[what]()
        except OSError as error:
            said = str(error)
    if what == "checkpoint" and where != "read-only":  # told, and no reason to stop
        said = " ".join(str(each.message) for each in told)
        if model is None or not same(model, whole):
            return f"{what}, {where}: the training did not come to its end: {said}"
    reasons = "No space|too large|Permission denied|may be written"
    named = str(path) in said or (what == "checkpoint" and str(folder) in said)
    if not named or not re.search(reasons, said):
        return f"{what}, {where}: {said or 'nothing was said'}"
    after = path.read_bytes() if path.exists() else None
    left = {each.name for each in folder.iterdir()} - {what, "filler"}
    return (
        "" if after == before and not left else f"{what}, {where}: the earlier file changed, or left {left}"
    )


# --- Two at once --------------------------------------------------------------------------------------------


def side_by_side(share: float) -> Row:
    """Two processes that do the same in the same place."""
    tally, doubled = Tally(), 0
    with one_thread(), place() as folder:
        data, whole = own_data(folder / "data"), trained(None, "adam")
        wanted = {}
        for name in ("pretrained", "burda", "sweep"):
            run(name, data, folder / name)
            wanted[name] = results(folder / name)
        for number in range(times(share, PAIRS, 2)):
            (work := folder / f"fit{number}").mkdir()
            codes = both(*(("fit", work / "c", "adam", work / f"m{k}") for k in (1, 2)))
            models = [load(work / f"m{k}") for k in (1, 2) if (work / f"m{k}").exists()]
            right = len(models) == 2 and all(same(model, whole) for model in models)
            right &= {path.name for path in work.iterdir()} == {"m1", "m2"}
            tally.add("" if right else f"fit: {codes}")
            doubled += 1
        for name in wanted:
            for number in range(times(share, PAIRS // 2)):
                out = folder / f"{name}{number}"
                codes = both(*[(name, data, out)] * 2)
                good = all(code == 0 for code, _ in codes) and results(out) == wanted[name]
                tally.add("" if good else f"{name}: {codes}")
                doubled += 1
    return tally.row(
        "Two processes that train the same at once, with one checkpoint or in one folder, both come to the "
        "right result, bit by bit",
        "pairs",
        "a training, the shipped models, those beside the literature, a sweep",
    )


def both(*each: tuple[Any, ...]) -> list[tuple[int, str]]:
    """Lets processes work at once, and gives their codes and what they said."""
    started = [Process(*arguments) for arguments in each]
    return [one.end()[:2] for one in started]


def read_while_written(share: float) -> Row:
    """A model that is read again and again while another process writes it anew."""
    tally, count = Tally(), times(share, LOADS, 20)
    with place() as folder:
        save(model_of(1), folder / "m")
        pair = [model_of(seed) for seed in (1, 2)]
        writer = Process("writer", folder / "m", 100 * count)
        while tally.tried < count:
            try:
                model = load(folder / "m")
            except Exception as error:  # any is a failure
                tally.add(f"{type(error).__name__}: {error}")
                continue
            tally.add("" if any(same(model, one) for one in pair) else "weights of neither")
            if not writer.runs():
                raise RuntimeError(f"the writer ended before: {writer.end()[1]}")
        writer.end(0)
    return tally.row("A file is whole whenever it is read, while another process replaces it", "readings")


# --- Foreign programs ---------------------------------------------------------------------------------------


class Program:
    """A pickle that writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """What reading it does."""
        return os.mkdir, (str(self.path),)


def foreign_programs(share: float) -> Row:
    """Pickles in the place of each kind of file, as torch.save and NumPy write them, and bare."""
    del share  # there are few
    tally = Tally()
    with _places_kept(), place() as folder:
        ways, ran = loaders(folder), folder / "ran"
        for name in (pretrained.FOLDER / recipes.SUMS, burda.FOLDER / recipes.SUMS):
            name.unlink()  # nothing then stands before the readers themselves
        torch.save(Program(ran), saved := io.BytesIO())
        np.save(array := io.BytesIO(), np.array([Program(ran)], object), allow_pickle=True)
        for content in (pickle.dumps(Program(ran)), saved.getvalue(), array.getvalue()):
            for way in ways:
                way.file.write_bytes(content)
                problem, _ = _refused_program(way, ran)
                tally.add(problem)
                way.file.write_bytes(way.content)
            for ending in (".pkl", ".pt", ".safetensors"):
                (folder / f"m{ending}").write_bytes(content)
                with suppress(SystemExit), open(os.devnull, "w") as quiet:
                    kept, sys.stderr = sys.stderr, quiet
                    try:
                        audit.main([f"{folder / 'm'}{ending}:make"])
                    finally:
                        sys.stderr = kept
                tally.add("the audit ran it" if ran.exists() else "")
    return tally.row(
        "A pickle in the place of a file of weights, of a checkpoint, of images or figures, or given to the "
        "audit, is refused and not run",
        "files",
    )


def _refused_program(way: Loader, ran: Path) -> tuple[str, bool]:
    try:
        way.loads()
    except (ValueError, FileNotFoundError):
        return (f"{way.name}: it was run" if ran.exists() else ""), False
    except Exception as error:  # any other is a failure
        return f"{way.name}: {type(error).__name__}: {error}", False
    return f"{way.name}: it was taken", False


OPENERS = {"pickle", "dill", "joblib", "shelve", "marshal", "zipfile", "tarfile"}
CALLS = {("torch", "load"), ("torch", "save"), ("shutil", "unpack_archive"), ("np", "fromfile")}


def dangers(source: str) -> list[str]:
    """Where a program reads pickles or opens archives."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [name for name in names if name.split(".")[0] in OPENERS]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found += [f"{node.value.id}.{node.attr}"] if (node.value.id, node.attr) in CALLS else []
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found += (
                [] if isinstance(node.value, ast.Constant) and node.value.value is False else ["a pickle"]
            )
    return found


def no_openers(share: float) -> Row:
    """No program of the course reads a pickle or opens an archive of somebody's."""
    del share
    tally = Tally()
    for path in sorted((ROOT / "vae_helpers").rglob("*.py")):
        found = dangers(path.read_text(encoding="utf-8"))
        tally.add(f"{path.name}: {', '.join(found)}" if found else "")
    return tally.row(
        "The programs of the course neither read a pickle nor open an archive, of whatever paths in it "
        "(the archive of MNIST is read only with its checksum)",
        "programs",
    )


NAMES = ("../../out", "OUTER/out", "a/../../out", "..\\out", "C:\\out", "train-images-idx3-ubyte")


def archives(share: float) -> Row:
    """Archives whose paths lead outside, as images and as what students hand in."""
    del share
    tally = Tally()
    for name, (kind, ending) in itertools.product(
        NAMES, [("zip", ".zip"), ("tar", ".tar"), ("zip", ""), ("tar", "")]
    ):
        with place() as outer:
            inside = name.replace("OUTER", str(outer))
            content = io.BytesIO()
            if kind == "zip":
                with zipfile.ZipFile(content, "w") as archive:
                    archive.writestr(inside, b"out")
            else:
                with tarfile.open(fileobj=content, mode="w") as archive:
                    archive.addfile(tarfile.TarInfo(inside))
            folder = outer / "a" / "b"
            folder.mkdir(parents=True)
            file = folder / f"train-images-idx3-ubyte{ending}"
            file.write_bytes(content.getvalue())
            (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(2, np.uint8)))
            refused = ""
            try:
                images.load_idx(folder)
            except (ValueError, FileNotFoundError) as error:
                refused = str(error)
            handed = folder / "anna" / "01_bayes_rule.ipynb.zip"
            handed.parent.mkdir()
            handed.write_bytes(content.getvalue())
            found = _handed_in.find(folder, [])
            there = {path for path in outer.rglob("*") if path.is_file()}
            alone = there == {file, folder / "train-labels-idx1-ubyte", handed}
            good = "unpack" in refused and not found.submissions and alone
            tally.add("" if good else f"{name}{ending}: {refused}, {there}")
    return tally.row(
        "Archives with absolute or `..` paths, among images or handed-in files, are refused; nothing is "
        "unpacked",
        "archives",
    )


PAGES = ("vae_helpers/widgets", "vae_helpers/site", "docs/_static")
FOREIGN = {
    "a program or style of another host": re.compile(
        r"(?:<script[^>]*src|<link[^>]*href|<iframe[^>]*src|@import|\bimport\b[^;\n]*?from|\bimport\()\s*=?\s*"
        r"(?:url\()?[\"'`]?(?:https?:)?//"
    ),
    "text that is run": re.compile(r"\beval\(|new Function\(|\bsetTimeout\(\s*[\"'`]|document\.write\("),
    "a request to another host": re.compile(r"(?:fetch|XMLHttpRequest|WebSocket|Worker)\([^)\n]*https?:"),
}


def foreign_in(text: str) -> list[str]:
    """What a page would take from elsewhere, or run of what somebody typed."""
    return [what for what, pattern in FOREIGN.items() if pattern.search(text)]


def pages(share: float) -> Row:
    """The programs and styles from which the web edition and the sliders are made."""
    del share
    tally = Tally()
    for folder in PAGES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".js", ".mjs", ".css", ".html") and "node_modules" not in path.parts:
                found = foreign_in(path.read_text(encoding="utf-8"))
                tally.add(f"{path.name}: {', '.join(found)}" if found else "")
    return tally.row(
        "What the web edition and the sliders are made of takes no program or style from another host, and "
        "runs no text as a program (`tests/browser/test_site.py` looks at the pages themselves)",
        "files",
    )


def audited(share: float) -> Row:
    """The audit runs the file that it is given, and none that lies beside it or beside the data."""
    del share
    tally = Tally()
    programs = ("conftest.py", "sitecustomize.py", "other.py", "__init__.py", "setup.py", "model.pth")
    with place() as folder:
        data, ran = own_data(folder / "data"), folder / "ran"
        for number, (parent, name) in enumerate(itertools.product((folder, data), programs)):
            foreign = f"import os\nos.makedirs({str(ran / str(number))!r}, exist_ok=True)\n"
            (parent / name).write_text(foreign, encoding="utf-8")
        (folder / "mine.py").write_text(MINE, encoding="utf-8")
        command = ["audit", f"{folder / 'mine.py'}:make", "--data", str(data), "--images", "20"]
        done = subprocess.run(
            [sys.executable, "-m", "vae_helpers", *command, "--effort", "quick"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        good = (folder / "made").exists() and done.returncode in (0, 1)
        for number in range(2 * len(programs)):
            tally.add(
                "a foreign program was run" if (ran / str(number)).exists() else "" if good else done.stderr
            )
    return tally.row(
        "`python -m vae_helpers audit` runs the file that it is given, and no other beside it or the data",
        "programs",
    )


MINE = """
import pathlib
import torch
from vae_helpers.models import VAE
def make():
    (pathlib.Path(__file__).parent / "made").mkdir()
    return VAE(2, hidden_dim=8, data_dim=64, generator=torch.Generator().manual_seed(0))
"""


def rows(share: float = 1.0) -> list[Row]:
    """All of it."""
    parts = (
        killed_trainings,
        killed_commands,
        damaged_files,
        no_room,
        side_by_side,
        read_while_written,
        foreign_programs,
        no_openers,
        archives,
        pages,
        audited,
    )
    return [part(share) for part in parts]
