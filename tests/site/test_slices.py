"""Slices of notebooks: they give what the whole notebook gives, and leave out what does not matter."""

import contextlib
import io

import matplotlib as mpl
import pytest
import torch
from support.cells import PATHS, code_cells

from vae_helpers.site.slices import Slicer, code_of, explorers
from vae_helpers.widgets import stage

LAST = 'explore(numbers(report), name="made", at=slider("at", 1.0, 0.0, 2.0, 0.5))'
NEVER = "never = 1 / 0"  # fails if it is run


def words(path):
    """What the explorers of a notebook show at their first positions, by the slices."""
    return {found.name: found.shown.still()[2] for found in Slicer(path).run()}


def words_of_all(path):
    """The same of a notebook whose every statement runs."""
    namespace = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for source in code_of(path).values():
            exec(source, namespace)
    return {name: shown.still()[2] for name, shown in stage.ON_STAGE.items()}


# ---- the course's notebooks; test_course_explorers.py runs them --------------------------------


def test_the_names_of_one_notebook():
    path = next(path for path in PATHS if path.stem.startswith("07"))
    assert list(explorers(path).values()) == ["dashboard", "latent_explorer", "train_live"]


@pytest.mark.parametrize(
    "number, words", [("06", "fit("), ("08", "train"), ("09", "train("), ("10", "train("), ("10", "audit(")]
)
def test_what_takes_long_is_not_run(number, words):
    path = next(path for path in PATHS if path.stem.startswith(number))
    slicer = Slicer(path)
    sliced = {slicer.statements[n].cell for place in slicer.places for n in slicer.needed(place)}
    called = {n for n, source in code_of(path).items() if words in source and f"def {words}" not in source}
    assert len(code_cells(path)) > 2 * len(sliced) and not called & sliced


# ---- hidden state -----------------------------------------------------------------------------

CASES = {
    "a generator that earlier statements use": [
        """
        import numpy as np
        g = np.random.default_rng(3)
        first = g.normal()
        print(g.normal())
        second = g.normal()
        def report(at): return {"second": second * at}
        """
    ],
    "a generator that is used inside of an assert": [
        """
        import numpy as np
        g = np.random.default_rng(3)
        assert g.normal() < 99
        value = g.normal()
        def report(at): return {"value": value * at}
        """
    ],
    "a generator that a function takes from outside": [
        """
        import numpy as np
        g = np.random.default_rng(3)
        def draw(): return g.normal()
        draw()
        def report(at, value=draw()): return {"value": value * at}
        """
    ],
    "a generator in a dict": [
        """
        import numpy as np
        streams = {"a": np.random.default_rng(3), "b": np.random.default_rng(4)}
        one = streams["a"].normal()
        two = streams["a"].normal()
        def report(at): return {"two": two * at}
        """
    ],
    "a generator under another name": [
        """
        import numpy as np
        g = np.random.default_rng(3)
        h = g
        one = h.normal()
        two = g.normal()
        def report(at): return {"two": two * at}
        """
    ],
    "a generator that a function keeps": [
        """
        import numpy as np
        def make():
            g = np.random.default_rng(3)
            def draw(): return g.normal()
            return draw
        draw = make()
        one = draw()
        two = draw()
        def report(at): return {"two": two * at}
        """
    ],
    "a generator of PyTorch": [
        """
        import torch
        g = torch.Generator().manual_seed(1)
        one = torch.randn(3, generator=g)
        two = torch.randn(3, generator=g)
        def report(at): return {"two": float(two[0]) * at}
        """
    ],
    "the global random state": [
        """
        import torch
        torch.manual_seed(5)
        one = torch.randn(2)
        two = torch.randn(2)
        def report(at): return {"two": float(two[0]) * at}
        """
    ],
    "a seed that is bound to a name": [
        """
        import torch
        seed = torch.manual_seed(5)
        draw = torch.rand(2)
        def report(at): return {"draw": float(draw[0]) * at}
        """
    ],
    "first weights from the global random state": [
        """
        import torch
        from torch import nn
        torch.manual_seed(5)
        other, layer = nn.Linear(2, 2), nn.Linear(2, 2)
        third = nn.Linear(2, 2)
        def report(at): return {"weight": float(third.weight[0, 0]) * at}
        """
    ],
    "an iterator that is used up": [
        """
        pairs = zip([1.0, 2.0], [3.0, 4.0])
        first = next(pairs)
        rest = list(pairs)
        def report(at): return {"rest": len(rest) + at}
        """
    ],
    "a generator function": [
        """
        def integers():
            n = 0
            while True:
                n += 1
                yield n
        numbers_of = integers()
        some = [pair for pair in zip("abc", numbers_of)]
        more = next(numbers_of)
        def report(at): return {"more": more * at}
        """
    ],
    "an augmented assignment": [
        """
        total = 1.0
        total += 2
        total *= 3
        def report(at): return {"total": total * at}
        """
    ],
    "a function that is defined again": [
        """
        def scale(at): return at
        old = scale
        def scale(at): return 5 * old(at)
        def report(at): return {"scaled": scale(at)}
        """
    ],
    "a function that is defined again after its user": [
        """
        def scale(at): return at
        def report(at): return {"scaled": scale(at)}
        def scale(at): return 7 * at
        """
    ],
    "a constant that is bound again after its user": [
        """
        factor = 2
        def report(at): return {"scaled": factor * at}
        factor = 9
        """
    ],
    "a list that is filled": [
        """
        values = []
        for k in range(4):
            values.append(k)
        values[0] = 10
        values.extend([1, 1])
        def report(at): return {"sum": sum(values) * at}
        """
    ],
    "a dict that is filled in another cell": [
        "table = {}",
        "for k in 'ab': table[k] = len(table) + 1",
        "del table['a']\ntable |= {'c': 5}",
        "def report(at): return {'sum': sum(table.values()) * at}",
    ],
    "a list under another name": [
        """
        values = [1.0]
        same = values
        same.append(5.0)
        def report(at): return {"sum": sum(values) * at}
        """
    ],
    "a part of an array": [
        """
        import numpy as np
        values = np.zeros((2, 3))
        row = values[1]
        row += 4
        turned = values.T
        turned[0, 0] = 7
        def report(at): return {"sum": values.sum() * at}
        """
    ],
    "a function that fills what it is given": [
        """
        def fill(values, number): values.append(number)
        def fill_two(values): fill(values, 1); fill(number=2, values=values)
        kept = []
        fill_two(kept)
        def report(at): return {"sum": sum(kept) * at}
        """
    ],
    "a function that fills what it sees": [
        """
        kept = []
        def keep(number):
            own = kept
            own.append(number)
            return number
        unused = [keep(k) for k in range(3)]
        def report(at): return {"sum": sum(kept) * at}
        """
    ],
    "a function that binds a global name": [
        """
        last = 0
        def call(number):
            global last
            last = number
        call(3)
        call(5)
        def report(at): return {"last": last * at}
        """
    ],
    "a function that remembers": [
        """
        def push(x, seen=[]):
            seen.append(x)
            return len(seen)
        one = push(1)
        two = push(1)
        def report(at): return {"two": two * at}
        """
    ],
    "an object with a state": [
        """
        class Counter:
            def __init__(self): self.count = 0
            def bump(self): self.count += 1
            def __call__(self): self.count += 10
        counter = Counter()
        counter.bump()
        counter()
        def report(at): return {"count": counter.count * at}
        """
    ],
    "an object whose method fills a global list": [
        """
        log = []
        class Counter:
            def bump(self): log.append(1)
        counter = Counter()
        counter.bump()
        def report(at): return {"count": len(log) * at}
        """
    ],
    "a model that is trained": [
        """
        import torch
        def train(model):
            optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            return "done"
        torch.manual_seed(0)
        model = torch.nn.Linear(2, 1)
        word = train(model)
        def report(at): return {"weight": float(model.weight[0, 0]) * at}
        """
    ],
    "names bound by a loop, with, try and if": [
        """
        import contextlib
        last = other = 2
        flag = False
        kept = 3
        for last in range(4): pass
        for other in (): pass
        with contextlib.suppress(ZeroDivisionError) as nothing:
            tried = 1 / 0
            kept = 5
        try:
            tried = 1 / 0
        except ZeroDivisionError:
            tried = 6
        chosen = 8
        if flag: chosen = 9
        def report(at): return {"sum": (last + other + kept + tried + chosen) * at}
        """
    ],
    "names of a comprehension and of an expression": [
        """
        k = 3
        squares = {k: k**2 for k in range(3)}
        if (half := k / 2) > 1: pass
        def report(at): return {"sum": (sum(squares.values()) + k + half) * at}
        """
    ],
    "several names at once, and starred": [
        """
        (a, b), *rest = (1, 2), 3, 4
        a = b = a + b
        def report(at): return {"sum": (a + b + sum(rest)) * at}
        """
    ],
    "a default and a decorator": [
        """
        import functools
        base = 4
        def twice(f):
            @functools.wraps(f)
            def doubled(at): return {"value": 2 * f(at)["value"]}
            return doubled
        @twice
        def report(at, base=base): return {"value": base * at}
        base = 5
        """
    ],
    "a local name like a global one": [
        """
        values = [1, 2]
        def other(values): return [v for v in values]
        def report(at):
            total = sum(other(values))
            return {"total": total * at}
        total = [NEVER]
        """.replace("[NEVER]", "0")
    ],
}


@pytest.mark.parametrize("cells", CASES.values(), ids=CASES)
def test_a_slice_gives_what_the_whole_notebook_gives(notebook, cells):
    path = notebook(*cells, LAST)
    shown = words(path)
    assert list(shown) == ["made"] and shown == words_of_all(path)


@pytest.mark.parametrize("cells", CASES.values(), ids=CASES)
def test_what_does_not_matter_is_not_run(notebook, cells):
    path = notebook(*cells, NEVER, f"print({NEVER.partition('=')[2]})", LAST)
    assert list(words(path)) == ["made"]


def test_streams_are_moved_on_only_for_those_who_read_them(notebook):
    path = notebook(
        """
        import numpy as np
        g, h = np.random.default_rng(1), np.random.default_rng(2)
        slow = g.normal() / 0 if g.normal() < 99 else 0
        fine = h.normal()
        def report(at): return {"fine": fine * at}
        """,
        LAST,
    )
    assert list(words(path)) == ["made"]


def test_a_name_that_is_bound_anew_needs_nothing_of_before(notebook):
    path = notebook("value = 1 / 0", "value = 3\ndef report(at): return {'value': value * at}", LAST)
    assert words(path)["made"].endswith("value 3.000 nats")


def test_settings_are_kept_and_brought_back(notebook):
    before, threads = mpl.rcParams["font.size"], torch.get_num_threads()
    path = notebook(
        """
        import matplotlib
        import matplotlib.pyplot as plt
        import torch
        plt.rcParams.update({"font.size": 31})
        plt.rcParams["lines.linewidth"] = 7
        torch.set_num_threads(1)
        def report(at): return {"size": sum(matplotlib.rcParams[k] for k in ("font.size", "lines.linewidth"))}
        """,
        LAST,
    )
    assert words(path)["made"].endswith("size 38.000 nats")
    assert (mpl.rcParams["font.size"], torch.get_num_threads()) == (before, threads)


def test_settings_of_the_caller_change_nothing(notebook):
    path = notebook(
        "from matplotlib import rcParams",
        "def report(at): return {'size': rcParams['font.size'] + rcParams['figure.dpi']}",
        LAST,
    )
    with mpl.rc_context({"font.size": 31, "figure.dpi": 37}):
        assert words(path)["made"].endswith("size 110.000 nats")
        assert (mpl.rcParams["font.size"], mpl.rcParams["figure.dpi"]) == (31, 37)


def test_two_explorers_each_at_its_own_moment(notebook):
    path = notebook(
        "factor = 2",
        "def report(at): return {'value': factor * at}",
        LAST.replace("made", "first"),
        "factor = 5",
        LAST.replace("made", "second"),
    )
    assert {name: text[-10:] for name, text in words(path).items()} == {
        "first": "2.000 nats",
        "second": "5.000 nats",
    }


def test_explorers_are_closed_one_after_another(notebook):
    report = "def report(at): return {'at': at}"
    path = notebook(report, LAST.replace("made", "one"), LAST.replace("made", "two"))
    seen = [(found.name, list(stage.ON_STAGE)) for found in Slicer(path).run()]
    assert seen == [("one", ["one"]), ("two", ["two"])] and not stage.ON_STAGE


def test_nothing_is_printed_and_no_file_is_written(notebook, capsys, tmp_path):
    path = notebook(
        "kept = []\nfor k in range(3): print(kept.append(k))\ndef report(at): return {'n': len(kept)}", LAST
    )
    before = path.read_bytes()
    assert words(path)["made"].endswith("n 3.000 nats")
    assert capsys.readouterr() == ("", "") and list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell, message",
    [
        ("from math import *", r"90_made, cell 1: expected imports of names, got from math import \*"),
        ("%matplotlib inline", "90_made, cell 1: expected Python, got: invalid syntax"),
        ("globals()['a'] = 1", r"90_made, cell 1: expected names that can be seen, got globals\(\)"),
        ("exec('a = 1')", "90_made, cell 1: expected names that can be seen, got exec"),
    ],
)
def test_code_in_which_names_cannot_be_seen(notebook, cell, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Slicer(notebook(cell, LAST))


@pytest.mark.parametrize(
    "cell", [f"if True:\n    {LAST}", f"made = [{LAST}]", f"def show_it():\n    return {LAST}"]
)
def test_an_explorer_inside_of_something_else(notebook, cell):
    with pytest.raises(ValueError, match="^90_made, cell 1: expected an explorer as a statement of its own"):
        explorers(notebook(cell))


def test_two_explorers_of_one_name(notebook):
    with pytest.raises(
        ValueError, match="^90_made: .* names and cells of their own, got made in cell 1, made in cell 2"
    ):
        explorers(notebook(LAST, LAST))


def test_a_name_that_is_not_the_one_in_the_cell(notebook):
    path = notebook("def report(at): return {}", LAST.replace('"made"', "str('other')"))
    with pytest.raises(ValueError, match="^90_made, cell 2: expected an explorer named report, got 'other'"):
        words(path)


def test_a_cell_that_fails_is_named(notebook):
    with pytest.raises(RuntimeError, match=r"^90_made, cell 1: ZeroDivisionError: .* \(at value = 1 / 0\)"):
        words(notebook("value = 1 / 0\ndef report(at): return {'value': value}", LAST))


def test_files_that_are_no_notebooks(tmp_path):
    with pytest.raises(FileNotFoundError):
        Slicer(tmp_path / "none.ipynb")
    for text in ("no JSON", "[]", "{}", '{"cells": [{}]}'):
        (tmp_path / "odd.ipynb").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="^path: expected a notebook of format 4"):
            Slicer(tmp_path / "odd.ipynb")
