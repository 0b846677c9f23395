"""Records: what is trained, timed and evaluated is what the rules say, and nothing is done twice."""

import json
import math
import re

import pytest
import torch
from support.worlds import small_images

from vae_helpers.experiments import records
from vae_helpers.experiments.records import ENTRIES, MODEL, Entry, Spread, main, print_table, summarize
from vae_helpers.models import VAE
from vae_helpers.shipped import burda, load_mnist

TRAINING = {"epochs": 2, "batch_size": 10, "progress": False, "precision": torch.float32}
SMALL = {"latent_dim": 2, "hidden_dim": 5, "num_hidden": 1}


@pytest.fixture
def small(monkeypatch):
    """Two entries of seconds, on few images of six pixels; which images were loaded."""
    images = {"train": small_images(40), "test": small_images(20)}
    monkeypatch.setattr(records, "MODEL", SMALL)
    monkeypatch.setattr(records, "load_mnist", lambda split: (images[split], None))
    stages = (TRAINING, TRAINING | {"num_samples": 3, "warmup": 0.0})
    entries = {"one": Entry(100.0, 1.0, "a test", stages[:1]), "two": Entry(1.0, 1.0, "a test", stages)}
    monkeypatch.setattr(records, "ENTRIES", entries)
    return images


def run(folder, *line):
    return main([*line, "--folder", str(folder), "--num-samples", "7"])


def rows(folder):
    return json.loads((folder / "records.json").read_text())["rows"]


def test_the_figures_are_those_of_the_models_that_were_trained(small, tmp_path):
    assert run(tmp_path, "--seeds", "4", "5", "--binarizations", "2") == 0
    found = {(row["entry"], row["seed"]): row for row in rows(tmp_path)}
    assert list(found) == [("one", 4), ("one", 5), ("two", 4), ("two", 5)]
    for (name, seed), row in found.items():
        assert list(row["nll"]) == (["0", "1"] if seed == 4 else ["0"])
        last = len(ENTRIES_OF[name]) - 1
        model = burda.load(tmp_path / f"{name}-seed{seed}-stage{last}.safetensors")
        for binarization, nll in row["nll"].items():
            bounds = burda.evaluate(model, small["test"], 7, int(binarization))
            assert nll == pytest.approx(bounds.nll.mean().item(), rel=1e-6)
        assert row["seconds"] > 0 and row["processor"]
    assert len({row["nll"]["0"] for row in found.values()}) == 4  # no two models are the same


ENTRIES_OF = {"one": [0], "two": [0, 1]}  # stages


def test_a_later_stage_goes_on_from_the_weights_of_the_one_before(small, tmp_path, monkeypatch):
    starts, real = [], records.train

    def train(recipe, images, checkpoint, start, keep_checkpoint):
        starts.append(start and [weight.clone() for weight in start.parameters()])
        assert recipe["model"] == SMALL and images is small["train"]
        return real(recipe, images, checkpoint, start)

    monkeypatch.setattr(records, "train", train)
    run(tmp_path, "two", "--seeds", "1", "--binarizations", "1")
    first = burda.load(tmp_path / "two-seed1-stage0.safetensors")
    assert starts[0] is None and all(map(torch.equal, starts[1], first.parameters()))


def test_the_seconds_are_those_of_all_stages(small, tmp_path):
    run(tmp_path, "two", "--seeds", "1", "--binarizations", "1")
    logs = [json.loads((tmp_path / f"two-seed1-stage{i}.json").read_text()) for i in (0, 1)]
    assert rows(tmp_path)[0]["seconds"] == sum(log["seconds"] for log in logs)


def test_nothing_is_done_twice(small, tmp_path, monkeypatch):
    run(tmp_path, "one", "--seeds", "1", "--binarizations", "1")
    before, evaluated, real = rows(tmp_path), [], burda.evaluate

    def evaluate(model, images, num_samples, seed, **options):
        evaluated.append(seed)
        return real(model, images, num_samples, seed)

    monkeypatch.setattr(records, "train", lambda *arguments: pytest.fail("trained again"))
    monkeypatch.setattr(burda, "evaluate", evaluate)
    assert run(tmp_path, "one", "--seeds", "1", "--binarizations", "3") == 0
    assert evaluated == [1, 2] and rows(tmp_path)[0]["nll"]["0"] == before[0]["nll"]["0"]


def test_what_rests_on_weights_that_are_gone_is_made_anew(small, tmp_path, monkeypatch):
    line = ("two", "--seeds", "1", "--binarizations", "1")
    run(tmp_path, *line)
    before = rows(tmp_path)[0]["nll"]
    stages = tuple(stage | {"epochs": 3} for stage in records.ENTRIES["two"].stages[:1])
    other = records.ENTRIES["two"]._replace(stages=stages + records.ENTRIES["two"].stages[1:])
    monkeypatch.setitem(records.ENTRIES, "two", other)
    (tmp_path / "two-seed1-stage0.json").unlink()  # as the command says
    assert run(tmp_path, *line) == 0
    run(tmp_path / "fresh", *line)
    assert rows(tmp_path)[0]["nll"] == rows(tmp_path / "fresh")[0]["nll"] != before


def test_an_interrupted_training_goes_on(small, tmp_path, monkeypatch):
    real, calls = records.train, []

    def train(recipe, images, checkpoint, start, keep_checkpoint):
        def stop(done, total, loss):
            if done == 5:  # in the second epoch
                raise KeyboardInterrupt

        calls.append(1)
        if len(calls) == 1:
            return real(recipe | {"fit": recipe["fit"] | {"on_step": stop}}, images, checkpoint, start)
        assert checkpoint.is_file() is (len(calls) == 2)
        return real(recipe, images, checkpoint, start)

    monkeypatch.setattr(records, "train", train)
    line = ("one", "--seeds", "1", "--binarizations", "1")
    assert run(tmp_path / "a", *line) == 130
    assert run(tmp_path / "a", *line) == 0 and run(tmp_path / "b", *line) == 0
    assert rows(tmp_path / "a")[0]["nll"] == rows(tmp_path / "b")[0]["nll"]


@pytest.mark.parametrize(
    "line, message",
    [
        (["three"], "name: expected one of one, two, got 'three'"),
        (["--seeds", "0"], "seeds: expected at least 1, got 0"),
        (["--seeds", "one"], "argument --seeds: invalid int value"),
        (["--binarizations", "0"], "binarizations: expected at least 1"),
        (["--num-samples", "-3"], "num_samples: expected at least 1"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_a_mistake_on_the_line_is_told_and_nothing_is_written(small, tmp_path, capsys, line, message):
    folder = tmp_path / "new"
    with pytest.raises(SystemExit) as ended:
        main(["--folder", str(folder), *line])
    assert ended.value.code == 2 and message in capsys.readouterr().err and not folder.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(records, "MODEL", SMALL | {"hidden_dim": 6}),
        lambda patch: patch.setattr(records, "load_mnist", lambda split: (small_images(30), None)),
        lambda patch: patch.setitem(records.ENTRIES, "one", Entry(1.0, 1.0, "", (TRAINING | {"epochs": 3},))),
    ],
    ids=["model", "images", "recipe"],
)
def test_a_folder_of_other_runs_is_refused_and_kept(small, tmp_path, monkeypatch, capsys, change):
    line = ("one", "--seeds", "1", "--binarizations", "1")
    run(tmp_path, *line)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    change(monkeypatch)
    with pytest.raises(SystemExit):
        run(tmp_path, *line)
    assert re.search(r"folder: .* holds .*; delete it", capsys.readouterr().err)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_it_uses_one_core_and_gives_the_others_back(small, tmp_path, monkeypatch):
    before, real, seen = torch.get_num_threads(), records.train, []

    def train(*arguments, keep_checkpoint):
        seen.append(torch.get_num_threads())
        return real(*arguments)

    monkeypatch.setattr(records, "train", train)
    torch.set_num_threads(2)
    try:
        run(tmp_path, "one", "--seeds", "1", "--binarizations", "1")
        assert seen == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def row(entry, seed, seconds, **nll):
    return {"entry": entry, "seed": seed, "seconds": seconds, "nll": nll, "processor": "P 1"}


def test_spreads_are_of_seeds_and_of_binarizations_apart():
    found = summarize([row("one", 1, 60, **{"0": 10.0, "1": 14.0}), row("one", 2, 120, **{"0": 11.0})])
    assert found["over seeds"] == Spread(10.5, pytest.approx(math.sqrt(0.5)), 2)
    assert found["over binarizations"] == Spread(12.0, pytest.approx(math.sqrt(8)), 2)
    assert found["minutes"].mean == 1.5


@pytest.mark.parametrize(
    "nll, seconds, verdict", [(99.0, 59, "reached"), (101.0, 59, "missed"), (99.0, 61, "missed")]
)
def test_a_target_is_reached_in_its_time_or_not(small, capsys, nll, seconds, verdict):
    print_table([row("one", 1, seconds, **{"0": nll})])
    assert capsys.readouterr().out.splitlines()[-1].endswith(verdict)


def test_the_entries_are_of_the_published_network_and_know_their_recipes():
    published = VAE(**MODEL)
    assert [tuple(weight.shape) for weight in published.encoder.parameters()][::2] == [
        (200, 784),
        (200, 200),
        (100, 200),
    ]
    assert (published.config["activation"], len(load_mnist("test")[0])) == ("tanh", 10_000)
    assert [(entry.target, entry.minutes) for entry in ENTRIES.values()] == [
        (86.76, 5),
        (85.44, 15),
        (84.1, 60),
    ]


def test_kept_figures_stand_on_the_page_and_those_of_other_entries_stay(small, tmp_path, monkeypatch):
    kept, page = tmp_path / "records.json", tmp_path / "RECORDS.md"
    others = [row("two", 1, 30, **{"0": 0.5}), row("one", 9, 30, **{"0": 7.25})]
    kept.write_text(json.dumps({"rows": others}))
    page.write_text("# Head\n\n<!-- table -->\nold\n<!-- end of table -->\nrules\n")
    monkeypatch.setattr(records, "KEPT", kept)
    monkeypatch.setattr(records, "PAGE", page)
    monkeypatch.setattr(records, "SEEDS", 2)
    monkeypatch.setattr(records, "BINARIZATIONS", 1)
    monkeypatch.setattr(burda, "NUM_SAMPLES", 7)
    assert run(tmp_path / "runs", "one", "--seeds", "1", "2", "--binarizations", "1", "--keep") == 0
    assert [(r["entry"], r["seed"]) for r in records.load_records()] == [("two", 1), ("one", 1), ("one", 2)]
    text = page.read_text()
    assert (
        text.startswith("# Head\n") and text.endswith("rules\n") and "old" not in text and "7.25" not in text
    )
    assert "| two | 1 in 1 minutes | 0.50 (1) |" in text and "| one | 100 in 1 minutes |" in text


@pytest.mark.parametrize(
    "line, got",
    [
        (["--num-samples", "4999"], "5 seeds, 5 binarizations and 4999 samples"),
        (["--seeds", "1", "2", "3", "4", "4"], "4 seeds, 5 binarizations and 5000 samples"),
        (["--binarizations", "4"], "5 seeds, 4 binarizations and 5000 samples"),
    ],
)
def test_fewer_figures_than_the_rules_ask_for_are_not_kept(small, tmp_path, capsys, line, got):
    with pytest.raises(SystemExit, match="2"):
        main(["one", "--keep", "--folder", str(tmp_path / "runs"), *line])
    wanted = "keep: expected at least 5 seeds, 5 binarizations and 5000 samples"
    assert f"{wanted}, got {got}" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_an_entry_without_a_run_is_open_on_the_page_and_not_in_the_print(small, capsys):
    rows = [row("one", 1, 30, **{"0": 7.25})]
    assert records.markdown(rows).splitlines()[-1] == "| two | 1 in 1 minutes | – | – | – | – | open |"
    print_table(rows)
    assert "two" not in capsys.readouterr().out


def test_the_page_shows_the_kept_figures():
    text = records.PAGE.read_text(encoding="utf-8")
    assert records.TABLE.search(text).group() == records.markdown(records.load_records())
