"""Sweeps: the same figures on local processes and on a real Dask cluster, whoever is killed or stopped."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from distributed import Client
from matplotlib.figure import Figure
from PIL import Image
from support.worlds import write_idx

from vae_helpers.experiments import cluster as cluster_module
from vae_helpers.experiments import sweep
from vae_helpers.experiments.point import Point, load_images, settings_of, train_point
from vae_helpers.experiments.sweep import Folder, grid, main, work_through
from vae_helpers.experiments.table import MEASURES, draw_curves, summarize
from vae_helpers.models import VAE, active_units, elbo, fit, observed
from vae_helpers.shipped import load_idx, load_mnist
from vae_helpers.shipped.crew import ATTEMPTS, LocalCrew

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
# A scheduler that has nothing of the course.
SCHEDULER = """
import sys
sys.modules.update(torch=None, vae_helpers=None)
from distributed.cli.dask_scheduler import main
main()
"""
PATIENCE = 300  # seconds, many times what anything here takes, for a machine that is busy
EPOCHS = 80  # of two steps: half a second, so that a worker can be caught in the middle
AXES = ["--latent-dims", "2", "3", "--betas", "1", "4", "--hidden-dims", "16", "--seeds", "1", "2"]
DEADLY = "import os\nwith open({!r}, 'a') as book: book.write('x')\nos._exit(1)"
STARTED = []  # processes
POINTS = grid([2, 3], [16], [1.0, 4.0], [1, 2])


def until(condition, command=None):
    """What `condition` returns, once it is true; a command that is given must not end before."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and (command is None or command.poll() is None):
        if found := condition():
            return found
        time.sleep(0.03)
    raise AssertionError("it did not come about")


def python(*line, **options):
    """A process of its own, and a group of its own, as the command of a terminal is."""
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    command = [sys.executable, *map(str, line)]
    group = {"start_new_session": True, "preexec_fn": _hear_interrupts}
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, **group | quiet | options)
    STARTED.append(process)
    return process


def _hear_interrupts():  # which what a shell starts in the background does not, nor what that starts
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module", autouse=True)
def nothing_outlives_the_tests():
    yield
    for process in STARTED:
        process.kill()
        process.wait()


def ended(process):
    """The exit code and both outputs."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def rows(folder):
    """The rows by their points' names, without what a clock decides."""
    found = {file.stem: json.loads(file.read_text()) for file in (folder / "points").glob("*.json")}
    return {name: {key: row[key] for key in row if key != "seconds"} for name, row in found.items()}


def marks(folder):
    """What changes when a file is written again."""
    return {file.name: file.stat().st_mtime_ns for file in (folder / "points").glob("*.json")}


def processes(parent):
    """The working processes of a command."""
    try:
        children = psutil.Process(parent.pid).children()
        return {child.pid for child in children if "spawn_main" in " ".join(child.cmdline())}
    except psutil.NoSuchProcess:
        return set()


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of little images in MNIST's format."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for split, count in (("train", 400), ("test", 100)):
        labels = rng.integers(10, size=count).astype(np.uint8)
        brightness = rng.uniform(40, 250, size=(count, 1, 1)) * np.tri(8)
        write_idx(folder, split, rng.uniform(0, brightness).astype(np.uint8), labels)
    return folder


@pytest.fixture(scope="module")
def local(data, tmp_path_factory):
    """A sweep on two processes, one of which is killed in the middle of a task."""
    folder = tmp_path_factory.mktemp("local") / "out"
    line = ["-m", "vae_helpers", "sweep", *AXES, "--epochs", EPOCHS, "--data", data, "--folder", folder]
    command = python(*line, "--workers", 2)
    until(lambda: marks(folder) and len(processes(command)) == 2, command)
    victim, survivor = processes(command)
    os.kill(victim, signal.SIGSTOP)
    before = marks(folder)
    until(lambda: len(marks(folder)) > len(before) + 1)  # the other goes on; so this one was at a task
    before = marks(folder)
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(processes(command) - {victim}) == 2, command)
    story = {"survived": survivor in processes(command), "before": before, "folder": folder}
    return story | {"ended": ended(command)}


def scheduler(folder):
    """A Dask scheduler on the loopback: its process, its address, and the file that names it."""
    card = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", card]
    process = python("-c", SCHEDULER, *options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: card.is_file() and card.read_text().endswith("}"))
    return process, json.loads(card.read_text())["address"], card


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and two workers as processes on the loopback; the address."""
    folder = tmp_path_factory.mktemp("dask")
    _, address, card = scheduler(folder)
    options = ["--scheduler-file", card, "--host", "127.0.0.1", "--no-dashboard", "--no-nanny"]
    line = ["-m", "distributed.cli.dask_worker", *options, "--nthreads", 1, "--local-directory", folder]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for _ in range(2):
        python(*line, **quiet)
    return address


def test_a_worker_is_not_taken_for_a_scheduler(cluster, line, capsys):
    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=PATIENCE)
        worker = next(iter(client.scheduler_info()["workers"]))
    message = f"scheduler: expected the address of a Dask scheduler, got {worker!r}: of a Worker"
    assert refused([*line, "--scheduler", worker], capsys) == message


def busy(client, folder):
    """The tasks of each worker once all of them have one and something is finished."""
    tasks = client.processing()
    return marks(folder) and all(tasks.values()) and tasks


@pytest.fixture(scope="module")
def on_cluster(cluster, data, tmp_path_factory):
    """The same sweep on the cluster, one of whose workers is killed in the middle of a task."""
    folder = tmp_path_factory.mktemp("cluster") / "out"
    line = ["-m", "vae_helpers", "sweep", *AXES, "--epochs", EPOCHS, "--data", data, "--folder", folder]
    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=PATIENCE)
        client.get_task_stream()  # from now on
        pids = client.run(os.getpid)
        command = python(*line, "--scheduler", cluster)
        tasks = until(lambda: busy(client, folder), command)
        victim = next(iter(tasks))
        os.kill(pids[victim], signal.SIGSTOP)
        (key, *_) = until(lambda: client.processing()[victim], command)
        before = marks(folder)
        os.kill(pids[victim], signal.SIGKILL)
        story = {"folder": folder, "before": before, "killed": key.rsplit("-", 1)[0]}
        story["ended"] = ended(command)
        return story | {"finished": [task["key"].rsplit("-", 1)[0] for task in client.get_task_stream()]}


# --- One point ----------------------------------------------------------------------------------------


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def by_hand(training, test, point, epochs):
    """The figures by the course's functions, one after the other."""
    first, second = (torch.Generator().manual_seed(2 * point.seed + k) for k in (0, 1))
    model = VAE(point.latent_dim, point.hidden_dim, data_dim=training.shape[1], generator=first)
    fit(model, training, epochs, beta=point.beta, generator=second, progress=False)
    x = observed(model, test, 0)
    with torch.no_grad():
        parts = elbo(model, x, generator=torch.Generator().manual_seed(1))
    figures = {
        f"test_{name}": getattr(parts, name).double().mean().item()
        for name in ("elbo", "log_likelihood", "kl")
    }
    return figures | {"active_units": active_units(model, x).sum().item()}


def test_the_row_of_a_point_is_what_training_by_hand_gives(data, one_thread):
    point, folder = Point(2, 16, 0.5, 3), str(data)
    row = train_point(asdict(point), settings_of(20, "bernoulli", 300, folder), folder)
    training, test = load_idx(folder)[0][:300], load_idx(folder, "test")[0]
    expected = by_hand(training, test, point, 20)
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert row["train_elbo"] != row["test_elbo"]
    assert row["train_elbo"] == pytest.approx(row["test_elbo"], abs=2)
    assert 0 < row["seconds"] < PATIENCE


def test_without_a_folder_the_images_are_those_of_mnist():
    training, test = load_images(None, 2000)
    assert torch.equal(training, load_mnist()[0][:2000]) and torch.equal(test, load_mnist("test")[0])


def test_local_processes_give_bit_by_bit_what_this_one_does(local, data, one_thread):
    point = POINTS[1]
    row = train_point(asdict(point), settings_of(EPOCHS, "bernoulli", None, str(data)), str(data))
    del row["seconds"]
    assert rows(local["folder"])[point.name] == row


def test_a_training_that_diverges_has_failed_and_says_where(data):
    row = train_point(asdict(Point(2, 16, 1e38, 1)), settings_of(1, "bernoulli", None, str(data)), str(data))
    assert row == {"latent_dim": 2, "hidden_dim": 16, "beta": 1e38, "seed": 1, "failed": row["failed"]}
    assert "in epoch 1, step " in row["failed"]


@pytest.mark.parametrize("name", ["training_images", "test_images", "torch", "vae_helpers"])
def test_a_worker_with_other_images_or_programs_does_not_take_part(name, data):
    settings = settings_of(1, "bernoulli", None, str(data)) | {name: "another"}
    with pytest.raises(ValueError, match=f"^{name}: expected 'another' on every worker, .* has "):
        train_point(asdict(POINTS[0]), settings, str(data))


def test_a_worker_without_the_images_does_not_take_part(data, tmp_path):
    with pytest.raises(ValueError, match="^data: expected it on every worker; "):
        train_point(asdict(POINTS[0]), settings_of(1, "bernoulli", None, str(data)), str(tmp_path))


@pytest.mark.parametrize(
    "values, error, message",
    [
        ((0, 16, 1.0, 1), ValueError, "latent_dim: expected at least 1, got 0"),
        ((2, 0, 1.0, 1), ValueError, "hidden_dim: expected at least 1, got 0"),
        ((2, 16, -1.0, 1), ValueError, "beta: expected a finite number of at least 0, got -1.0"),
        ((2, 16, float("nan"), 1), ValueError, "beta: expected a finite number of at least 0, got nan"),
        ((2, 16, 1.0, -1), ValueError, "seed: expected at least 0, got -1"),
        ((2, 16, 1.0, 2**62), ValueError, f"seed: expected at most {2**62 - 1:,}, got {2**62}"),
        ((2, 16, 1.0, 1.5), TypeError, "seed: expected a whole number, got 1.5"),
    ],
)
def test_a_point_that_cannot_be_is_refused(values, error, message):
    with pytest.raises(error) as caught:
        Point(*values)
    assert str(caught.value) == message


def test_a_seed_may_be_large():
    assert Point(2, 16, 1.0, 2**62 - 1).seed == 2**62 - 1


# --- Whole sweeps -------------------------------------------------------------------------------------


def test_a_local_worker_that_is_killed_costs_only_its_task(local):
    code, out, err = local["ended"]
    assert (code, "left" in out, "Traceback" in err) == (0, False, False)
    assert local["survived"]
    assert rows(local["folder"]).keys() == {point.name for point in POINTS}
    assert marks(local["folder"]).items() >= local["before"].items()


def test_a_worker_of_a_cluster_that_is_killed_costs_only_its_task(on_cluster):
    code, _, err = on_cluster["ended"]
    assert (code, "Traceback" in err) == (0, False)
    assert f"{on_cluster['killed']}.json" not in on_cluster["before"]
    assert rows(on_cluster["folder"]).keys() == {point.name for point in POINTS}
    assert marks(on_cluster["folder"]).items() >= on_cluster["before"].items()
    # What the workers have finished, by the scheduler's own book: each point once.
    assert sorted(on_cluster["finished"]) == sorted(point.name for point in POINTS)


def test_a_cluster_gives_bit_by_bit_what_local_processes_do(local, on_cluster):
    assert rows(on_cluster["folder"]) == rows(local["folder"])


def test_a_bar_shows_the_whole_sweep(local, on_cluster):
    for story in (local, on_cluster):
        assert all(f"| {done}/{len(POINTS)} [" in story["ended"][2] for done in (0, 1, len(POINTS)))


def test_a_table_and_a_picture_come_out(local):
    _, out, _ = local["ended"]
    with (local["folder"] / "table.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [(line["latent_dim"], line["beta"]) for line in table] == [
        ("2", "1.0"),
        ("2", "4.0"),
        ("3", "1.0"),
        ("3", "4.0"),
    ]
    for line in table:
        assert f"{float(line['test_elbo']):.2f} ± {float(line['test_elbo_spread']):.2f}" in out
    with Image.open(local["folder"] / "sweep.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 500


@pytest.mark.parametrize("early", [True, False])
def test_a_sweep_that_is_interrupted_leaves_its_results_and_no_process(early, data, tmp_path):
    folder = tmp_path / "out"
    line = ["-m", "vae_helpers", "sweep", *AXES, "--epochs", EPOCHS, "--data", data, "--folder", folder]
    command = python(*line, "--workers", 1)
    (worker,) = until(lambda: (early or marks(folder)) and processes(command), command)
    if early:
        time.sleep(0.3)  # Python is there and still imports
    os.killpg(command.pid, signal.SIGINT)
    code, _, err = ended(command)
    until(lambda: not alive(worker))
    assert bool(rows(folder)) != early and len(rows(folder)) < len(POINTS)
    assert not list(folder.rglob("*.part"))
    assert code == 130 and "Traceback" not in err
    assert err.endswith("\ninterrupted: the same command goes on from the last finished model\n")


def test_a_command_that_is_killed_leaves_no_process():
    code = "from vae_helpers.shipped.crew import LocalCrew\nimport time\n"
    command = python("-c", f"{code}LocalCrew(1).submit('long', time.sleep, {PATIENCE}).result()")
    (worker,) = until(lambda: processes(command))
    time.sleep(0.2)
    command.kill()
    command.communicate()
    until(lambda: not alive(worker))


def test_a_scheduler_that_goes_ends_the_sweep_in_a_line(data, tmp_path):
    folder = tmp_path / "out"
    process, address, _ = scheduler(tmp_path)
    line = ["-m", "vae_helpers", "sweep", *AXES, "--data", data, "--folder", folder, "--scheduler", address]
    command = python(*line)
    with Client(address, set_as_default=False) as client:
        until(lambda: len(client.scheduler_info()["workers"]) == 0 and (folder / "sweep.json").is_file())
    time.sleep(0.3)
    process.kill()
    process.wait()
    code, _, err = ended(command)
    assert (code, "Traceback" in err) == (2, False), err
    assert err.splitlines()[-1].startswith("python -m vae_helpers sweep: error: scheduler: it ")


# --- What is done again, and what is not --------------------------------------------------------------


class Here:
    """A crew that works in this process, at once, and remembers for what it was asked."""

    lost = BrokenProcessPool

    def __init__(self, *_, answer=None):
        self.asked, self.answer, self.closed = [], answer, False

    def slots(self):
        return 1

    def submit(self, name, work, *arguments):
        self.asked.append(name)
        future = Future()
        try:
            future.set_result((self.answer or work)(*arguments))
        except BaseException as error:
            future.set_exception(error)
        return future

    def close(self):
        self.closed = True


@pytest.fixture
def here(monkeypatch):
    crew = Here()
    monkeypatch.setattr(sweep, "LocalCrew", lambda workers: crew)
    return crew


@pytest.fixture
def line(data, tmp_path):
    """The options of a sweep of two tiny points."""
    options = ["--latent-dims", "2", "--hidden-dims", "8", "--seeds", "1", "2", "--epochs", "1"]
    return [*options, "--data", str(data), "--folder", str(tmp_path / "out")]


def names(*seeds, latent_dim=2):
    return [f"d{latent_dim}-h8-beta1.0-seed{seed}" for seed in seeds]


def test_what_is_finished_is_not_computed_again_also_when_the_grid_grows(here, line, tmp_path, capsys):
    assert main(line) == 0 and here.asked == names(1, 2)
    before = marks(tmp_path / "out")
    assert main(line) == 0 and here.asked == names(1, 2)
    assert " 2/2 [" in capsys.readouterr().err
    assert main([*line, "--seeds", "2", "3", "1"]) == 0 and here.asked == names(1, 2, 3)
    assert marks(tmp_path / "out").items() >= before.items()
    captured = capsys.readouterr()
    assert " 2/3 [" in captured.err and " 3/3 [" in captured.err  # the bar begins with what is there
    assert "  3  " in captured.out.splitlines()[-2]  # a line of the table: 3 seeds


def test_a_value_given_twice_is_one_point(here, line):
    assert main([*line, "--seeds", "1", "1"]) == 0 and here.asked == names(1)


def test_a_failed_point_is_shown_and_not_tried_again_and_the_others_go_on(here, line, capsys):
    for _ in range(2):
        assert main([*line, "--betas", "1e38", "1"]) == 0
        out = capsys.readouterr().out
        assert "  2 failed\n" in out and "d2-h8-beta1e+38-seed1 failed: the loss became " in out
    assert len(here.asked) == 4


def test_a_sweep_of_which_all_has_failed_has_a_table_and_a_picture(here, line, tmp_path, capsys):
    assert main([*line, "--betas", "1e38"]) == 0
    assert "–" in capsys.readouterr().out.splitlines()[1]
    assert (tmp_path / "out" / "table.csv").is_file() and (tmp_path / "out" / "sweep.png").is_file()


def test_a_point_whose_worker_is_killed_each_time_is_told_and_tried_again(here, line, capsys):
    def killed(axes, *rest):
        if axes["seed"] == 1:
            raise BrokenProcessPool("a process was killed")
        return train_point(axes, *rest)

    here.answer = killed
    assert main(line) == 1
    captured = capsys.readouterr()
    assert "no result for 1, such as d2-h8-beta1.0-seed1: BrokenProcessPool: a process was" in captured.err
    assert captured.out.endswith("1 of 2 models are left; the same command goes on with them\n")
    here.answer = None
    assert main(line) == 0 and here.asked == names(1, 2, 1)


@pytest.mark.parametrize("budget", ["0", "0.0"])
def test_a_budget_of_nothing_starts_nothing_and_says_what_is_left(budget, here, line, capsys):
    assert main([*line, "--budget", budget]) == 0
    assert not here.asked and here.closed
    assert capsys.readouterr().out == "2 of 2 models are left; the same command goes on with them\n"


def test_when_the_budget_is_over_what_runs_is_finished_and_no_more_is_begun(here, line, monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(sweep.time, "monotonic", lambda: clock[0])

    def slow(*arguments):
        clock[0] += 61
        return train_point(*arguments)

    here.answer = slow
    assert main([*line, "--budget", "1"]) == 0
    assert here.asked == names(1)
    assert capsys.readouterr().out.endswith("1 of 2 models are left; the same command goes on with them\n")


@pytest.mark.parametrize(
    "error, message",
    [
        (ValueError("data: other images"), "data: other images"),
        (CancelledError(), "scheduler: it has gone; the same command goes on once it is back"),
        (ImportError("no torch"), "scheduler: expected the course on each of its workers, got: no torch"),
    ],
)
def test_when_a_worker_cannot_take_part_the_others_end_and_no_more_is_begun(error, message):
    class Two(Here):
        def slots(self):
            return 2

    def answer(point):
        if point is POINTS[0]:
            raise error
        return point.name

    kept, crew = [], Two(answer=answer)
    with pytest.raises(ValueError) as caught:
        work_through(POINTS, crew, lambda point: (None, point), kept.append)
    assert str(caught.value) == message
    assert kept == [POINTS[1].name] and len(crew.asked) == 2


def test_a_local_task_that_kills_its_process_each_time_is_given_up_and_no_other_suffers(tmp_path):
    crew = LocalCrew(2)
    try:
        deadly = crew.submit("deadly", exec, DEADLY.format(str(tmp_path / "attempts")))
        others = [crew.submit("other", abs, -number) for number in range(5)]
        assert [other.result(PATIENCE) for other in others] == [0, 1, 2, 3, 4]
        with pytest.raises(BrokenProcessPool):
            deadly.result(PATIENCE)
    finally:
        crew.close()
    assert (tmp_path / "attempts").read_text() == "x" * ATTEMPTS


# --- Bad input ----------------------------------------------------------------------------------------


def refused(line, capsys):
    """The one line that a command says before it ends with 2, after the usage."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(part) for part in line])
    assert ended.value.code == 2
    usage, message = capsys.readouterr().err.strip().splitlines()
    assert usage.startswith("usage: python -m vae_helpers sweep ")
    return message.removeprefix("python -m vae_helpers sweep: error: ")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--budget", "-1"], "budget: expected a finite number of at least 0, got -1.0"),
        (["--budget", "nan"], "budget: expected a finite number of at least 0, got nan"),
        (["--nonesuch"], "unrecognized arguments: --nonesuch"),
        (["--epochs", "0"], "epochs: expected at least 1, got 0"),
        (["--workers", "0"], "workers: expected at least 1, got 0"),
        (["--num-images", "401"], "num_images: expected at most 400, got 401"),
        (["--num-images", "0"], "num_images: expected at least 1, got 0"),
        (["--latent-dims", "0"], "latent_dim: expected at least 1, got 0"),
        (["--betas", "-1"], "beta: expected a finite number of at least 0, got -1.0"),
        (["--seeds", "x"], "argument --seeds: invalid int value: 'x'"),
        (
            ["--scheduler", "tcp://127.0.0.1:1", "--workers", "2"],
            "workers: expected none beside a scheduler, whose cluster has its own",
        ),
    ],
)
def test_bad_options_are_refused_in_a_line_and_nothing_is_made(options, message, line, tmp_path, capsys):
    assert refused([*line, *options], capsys) == message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "127.0.0.1:1", "nonesuch", "x://127.0.0.1:1", ""])
def test_a_scheduler_that_does_not_answer_is_told_in_a_line(address, line, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cluster_module, "TIMEOUT", 0.5)
    message = refused([*line, "--scheduler", address], capsys)
    assert message.startswith(f"scheduler: expected the address of a Dask scheduler, got {address!r}: ")
    assert not (tmp_path / "out").exists()


def test_without_dask_the_command_says_what_to_install(line, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    message = refused([*line, "--scheduler", "tcp://127.0.0.1:1"], capsys)
    assert message == "scheduler: expected the package distributed; `pip install distributed` brings it"


def test_local_sweeps_need_no_dask(here, line, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(line) == 0


@pytest.mark.parametrize(
    "options, message",
    [
        (["--epochs", "2"], "with epochs 1 and not 2; give another folder, or the settings that it has"),
        (["--num-images", "300"], "with num_images None and not 300; give another folder, or "),
        (["--likelihood", "gaussian"], "with likelihood 'bernoulli' and not 'gaussian'; give "),
    ],
)
def test_the_folder_of_another_sweep_is_left_alone(options, message, here, line, tmp_path, capsys):
    assert main(line) == 0
    before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*.*")}
    expected = f"folder: {tmp_path / 'out'} holds another sweep, {message}"
    assert refused([*line, *options], capsys).startswith(expected)
    assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*.*")} == before
    assert here.asked == names(1, 2)


def test_the_folder_of_other_images_is_left_alone(here, line, data, tmp_path, capsys):
    assert main(line) == 0
    others = shutil.copytree(data, tmp_path / "others")
    rng = np.random.default_rng(1)
    write_idx(others, "test", rng.integers(256, size=(9, 8, 8)).astype(np.uint8), np.zeros(9, np.uint8))
    assert "holds another sweep, with test_images '(100, 64)" in refused([*line, "--data", others], capsys)


def test_a_folder_of_something_else_is_left_alone(here, line, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "table.csv").write_text("mine")
    expected = f"folder: expected an empty one or one of this sweep, got {tmp_path / 'out'}"
    assert refused(line, capsys) == expected
    assert refused([*line, "--folder", tmp_path / "out" / "table.csv"], capsys).startswith(
        "folder: expected a"
    )
    assert [file.read_text() for file in (tmp_path / "out").iterdir()] == ["mine"] and not here.asked


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"latent_dim": 3, "hidden_dim": 8, "beta": 1, "seed": 1}']
)
def test_a_row_that_was_damaged_is_named(content, here, line, tmp_path, capsys):
    assert main(line) == 0
    file = tmp_path / "out" / "points" / f"{names(1)[0]}.json"
    file.write_text(content)
    message = refused([*line, "--seeds", "3"], capsys)
    assert message.startswith("folder: expected ") and str(file) in message
    assert here.asked == names(1, 2)


# --- Table and picture --------------------------------------------------------------------------------


def made_up(latent_dim, beta, seed, size=8, **figures):
    rng = np.random.default_rng([latent_dim, int(beta), seed])
    row = {"latent_dim": latent_dim, "hidden_dim": size, "beta": beta, "seed": seed}
    return row | ({name: rng.normal() for name in MEASURES} if not figures else figures)


def test_the_table_holds_means_and_standard_deviations_over_seeds():
    sample = [made_up(d, beta, seed) for d in (5, 2) for beta in (4.0, 1.0) for seed in (1, 2, 3)]
    sample += [made_up(2, 1.0, 4, failed="NaN"), made_up(9, 1.0, 1), made_up(9, 4.0, 1, failed="NaN")]
    table = summarize(sample)
    places = [(line["latent_dim"], line["beta"]) for line in table]
    assert places == [(2, 1.0), (2, 4.0), (5, 1.0), (5, 4.0), (9, 1.0), (9, 4.0)]
    assert [(line["seeds"], line["failed"]) for line in table] == [
        (4, 1),
        (3, 0),
        (3, 0),
        (3, 0),
        (1, 0),
        (1, 1),
    ]
    for line, (d, beta) in zip(table[:4], places, strict=False):
        for name in MEASURES:
            values = [made_up(d, beta, seed)[name] for seed in (1, 2, 3)]
            assert line[name] == pytest.approx(np.mean(values))
            assert line[f"{name}_spread"] == pytest.approx(np.std(values, ddof=1))
    assert table[4]["test_elbo"] == made_up(9, 1.0, 1)["test_elbo"] and table[4]["test_elbo_spread"] is None
    assert table[5]["test_elbo"] is None


def test_the_picture_holds_each_curve_and_names_axes_and_colours():
    sample = [made_up(d, beta, 1, size) for d in (2, 5, 9) for beta in (1.0, 4.0) for size in (8, 16)]
    sample += [made_up(50, 1.0, 1, failed="NaN")]
    table, figure = summarize(sample), Figure()
    draw_curves(figure, table)
    left, right = figure.axes
    assert left.get_ylabel() == "ELBO (nats)" and right.get_ylabel() == "distortion (nats)"
    assert [label.get_text() for label in left.get_xticklabels()] == ["2", "5", "9"]
    curves = [
        [line for line in table if (line["beta"], line["hidden_dim"]) == key]
        for key in [(1.0, 8), (1.0, 16), (4.0, 8), (4.0, 16)]
    ]
    for panel, x, y, sign in (
        (left, "latent_dim", "test_elbo", 1),
        (right, "test_kl", "test_log_likelihood", -1),
    ):
        for container, curve in zip(panel.containers, curves, strict=True):
            line, curve = container.lines[0], [each for each in curve if each["seeds"] > each["failed"]]
            assert line.get_xdata() == pytest.approx([each[x] for each in curve])
            assert line.get_ydata() == pytest.approx([sign * each[y] for each in curve])
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["β = 1", "β = 4", "8 hidden units", "16 hidden units"]


def test_drawing_leaves_matplotlib_as_it_was(here, line):
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    assert main(line) == 0
    assert dict(mpl.rcParams) == before and not plt.get_fignums()


def test_a_folder_without_results_gives_no_rows(tmp_path):
    assert Folder(tmp_path / "out", {}).rows() == [] and not (tmp_path / "out").exists()
