"""Every notebook runs in JupyterLab, and every slider does what it promises."""

import lab


def test_runs_without_complaint(notebook):
    assert lab.errors(notebook.page) == []
    assert notebook.page.get_by_text("Click to show javascript error").count() == 0
    assert notebook.console == []


def test_every_explorer_is_shown(notebook):
    explorers = notebook.explorers()  # one without an oracle is an AssertionError
    assert explorers, "a notebook without a slider"
    assert notebook.page.locator(".vae-explorer").count() == len(explorers)
    handles = sum(len(explorer.sliders()) for explorer in explorers)
    assert notebook.page.locator(".vae-explorer .noUi-handle").count() == handles, (
        "a slider that is not tested"
    )
    for explorer in explorers:
        explorer.settled()


def test_every_slider_by_keyboard(notebook):
    for explorer in notebook.explorers():
        for name in explorer.sliders():
            explorer.free(name)
            explorer.check_key(name)
            explorer.check_burst(name)
            explorer.check_reset(name)
        reset(explorer)


def test_every_slider_by_mouse(notebook):
    for explorer in notebook.explorers():
        for name in explorer.sliders():
            explorer.free(name)
            explorer.check_drag(name)
        reset(explorer)


def test_every_list(notebook):
    for explorer in notebook.explorers():
        alive = notebook.kernel.ask("inside.alive()")
        for name in explorer.lists():
            explorer.check_list(name)
            explorer.check_reset(name)
        assert notebook.kernel.ask("inside.alive()") == alive


def test_two_hundred_moves_leave_nothing_behind(notebook):
    for explorer in notebook.explorers():
        explorer.settled()
        alive, before = notebook.kernel.ask("inside.alive()"), notebook.kernel.ask("inside.memory()")
        for name in explorer.sliders():
            explorer.free(name)
            for key in ("ArrowLeft", "ArrowRight") * 2:  # as fast as keys go: most are skipped
                explorer.press(name, key, 50)
            explorer.settled()
            explorer.check_reset(name)
        if explorer.views:  # and so that every one is drawn
            slider = explorer.sliders()[0]
            with lab.unseen(notebook.page):
                notebook.kernel.ask(f"inside.sweep({explorer.name!r}, {slider!r}, 200)")
            explorer.settled()
        grown = notebook.kernel.ask("inside.memory()") - before
        assert notebook.kernel.ask("inside.figures()") == []
        assert grown < 50e6, f"{explorer.name}: {grown / 1e6:.0f} MB more"
        assert notebook.kernel.ask("inside.alive()") == alive
        reset(explorer)


def test_a_cell_run_twice_leaves_nothing_behind(notebook):
    page, kernel = notebook.page, notebook.kernel
    for explorer in notebook.explorers():
        alive, shown = kernel.ask("inside.alive()"), page.locator(".vae-explorer").count()
        mark = explorer.element.evaluate("element => element.dataset.first = 'yes'")
        assert mark == "yes"
        lab.run_cell(page, page.locator(".jp-CodeCell", has=explorer.element))
        lab.eventually(lambda explorer=explorer: is_new(explorer))
        explorer.settled()
        assert page.locator(".vae-explorer").count() == shown
        assert kernel.ask("inside.alive()") == alive, explorer.name
        assert kernel.ask("inside.figures()") == []


def is_new(explorer):
    """Raises unless the explorer is there once and is not the one that was marked."""
    assert explorer.element.count() == 1
    assert explorer.element.get_attribute("data-first") is None


def reset(explorer):
    """Brings back the first value of every control."""
    for name in explorer.controls:
        explorer.reset(name)
    explorer.settled()
