"""Every test run: side by side on the cores, apart from the reader's own settings, with its quick loop."""

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
# What strict nbval leaves out. Of the HTML of an output: the bytes of pictures, as it does where they
# stand alone, and which widget of this run takes a picture's place. Of any text: spaces at the end of a
# line, which JupyterLab leaves where a line has been written over a longer one, as of a progress bar.
UNCOMPARED = r"""
regex: base64,[A-Za-z0-9+/=]+
replace: base64,
regex: data-vae-view="\w*"
replace: data-vae-view=""
regex: [ ]+(\n|\Z)
replace: \1
"""
NOTEBOOKS = [path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")]
OF_THE_EDITION = [f"tests/browser/test_{name}.py" for name in ("site", "slides", "practice")]
EDITION = "tests/browser/edition"  # one part, so that it is made once; the longest
MOST_WORKERS = 8  # more would spend their time on collecting
MEMORY_OF_A_WORKER = 2e9  # bytes, with its kernel, JupyterLab and Chromium

# Processes side by side slow each other down many times over if each one's threads wait for a core that
# another one has, so here and in all that is started from here a waiting thread sleeps.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# What the notebooks store was computed on a processor, so no training of the tests may move to a GPU.
if os.environ.get("VAE_GPU_TESTS") != "required":  # of tests/models/test_accelerator.py
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_configure(config):
    """Points the folders that kernels and tests would use to a temporary one, and nbval to its list."""
    if getattr(config.option, "tx", None):  # workers will be started: a thread of arithmetic for each
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder = tempfile.TemporaryDirectory(prefix="vae-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    for name in (
        "JUPYTER_DATA_DIR",
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
        "MPLCONFIGDIR",
    ):
        path = os.path.join(folder.name, name.lower())
        os.makedirs(path)
        os.environ[name] = path
    uncompared = Path(folder.name, "uncompared.cfg")
    uncompared.write_text(UNCOMPARED, encoding="utf-8")
    config.option.nbval_sanitize_with = str(uncompared)


# ---- side by side ---------------------------------------------------------------------------


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_auto_num_workers(config):
    """One process for each core, as far as memory goes; none beside this one where it would not pay."""
    import psutil

    cores = yield
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    room = int(psutil.virtual_memory().available // MEMORY_OF_A_WORKER)
    workers = min(cores, room, MOST_WORKERS)
    return workers if workers > 1 and not _is_one_part(config.args) else 0


def _is_one_part(paths):
    return len({part(path) for path in paths}) == 1 and Path(paths[0].partition("::")[0]).is_file()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hands a worker a whole part at a time, in the order in which they stand."""
    from xdist.scheduler import LoadScopeScheduling

    class InParts(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return part(nodeid)

    config.option.loadscopereorder = False
    return InParts(config, log)


def part(nodeid):
    """What one worker runs, as its tests share what is slow to make: a file, or a notebook that has run."""
    path, _, name = nodeid.partition("::")
    if path.startswith("notebooks/"):
        return f"tests/browser/{Path(path).stem}"
    if path in OF_THE_EDITION:
        return EDITION
    if path.startswith("tests/browser/") and "[" in name:
        for notebook in NOTEBOOKS:
            if notebook in name:
                return f"tests/browser/{notebook}"
    return path


# ---- order and the quick loop ---------------------------------------------------------------

# What the quick loop leaves out: notebooks, browsers, trainings, and what took half a second or more.
# tests/project/test_project.py holds that it lets no notebook and no browser in.
NOT_QUICK = (
    "notebooks/",
    "tests/audit/test_audit.py",
    "tests/audit/test_bounds.py",
    "tests/audit/test_command.py",
    "tests/audit/test_families.py",
    "tests/audit/test_numbers.py",
    "tests/audit/test_adapters.py",
    "tests/browser/",
    "tests/checks/test_arguments.py",
    "tests/checks/test_gallery.py",
    "tests/checks/test_same_noise.py",
    "tests/checks/test_every_exercise.py::test_a_slip_is_told_by_its_own_code",
    "tests/classroom/test_bank.py",
    "tests/classroom/test_questions.py",
    "tests/classroom/test_edition.py",
    "tests/classroom/test_grade.py",
    "tests/experiments/",
    "tests/models/test_convolutional.py::test_the_audit",
    "tests/models/test_convolutional.py::test_training_learns",
    "tests/models/test_defaults_and_edges.py::test_gaps_are_sought_in_200_steps",
    "tests/models/test_evaluation.py::test_gaps_find_the_better_of_two_maxima",
    "tests/models/test_evaluation.py::test_the_elbo_by_quadrature_of_digits",
    "tests/models/test_evaluation.py::test_the_error_of_quadrature_on_digits",
    "tests/notebooks/test_corners.py",
    "tests/notebooks/test_standalone_script.py",
    "tests/notebooks/test_structure.py::test_solutions_run_and_pass_their_check",
    "tests/pictures/test_plotting.py::test_importing_changes_no_style",
    "tests/pictures/test_plotting.py::test_show_stores_the_picture_with_any_backend",
    "tests/project/test_benchmarks.py",
    "tests/project/test_figures.py",
    "tests/project/test_layers.py::test_a_layer_loads_nothing_of_the_others",
    "tests/project/test_layers.py::test_exercises_of_the_numpy_world_start_without_torch",
    "tests/shipped/test_burda.py::test_the_published_part_of_the_test_set_again",
    "tests/shipped/test_pretrained.py",
    "tests/site/test_build.py",
    "tests/site/test_course_explorers.py",
    "tests/site/test_frames.py",
    "tests/site/test_teaching.py",
    "tests/trust/test_idx_files.py::test_a_share",
    "tests/trust/test_estimators.py",
    "tests/trust/test_faults.py",
    "tests/trust/test_notebooks.py",
    "tests/trust/test_ulps.py",
    "tests/trust/test_bad_input.py",
    "tests/widgets/test_explorer.py",
    "tests/widgets/test_checkup.py",
    "tests/widgets/test_lab",
    "tests/widgets/test_live_training.py",
)
# The parts that take longest come first, so that the workers end together; of the browser tests too, which
# are the last: Playwright's event loop stays open until the end of a process.
LONGEST = (
    "tests/classroom/test_grade.py",
    "tests/experiments/test_sweep.py",
    "tests/checks/test_gallery.py",
    "tests/audit/test_families.py",
    "tests/audit/test_audit.py",
    "tests/checks/test_same_noise.py",
    "tests/checks/test_arguments.py",
    "tests/notebooks/test_corners.py",
    "tests/site/test_course_explorers.py",
    "tests/shipped/test_burda.py",
    "tests/widgets/test_explorer.py",
    "tests/models/test_evaluation.py",
    "tests/project/test_layers.py",
    "tests/shipped/test_pretrained.py",
    "tests/notebooks/test_structure.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Lets nbval compare a notebook that the browser tests have run, instead of running it once more."""
    found = yield
    if file_path.suffix != ".ipynb":
        return found
    from support.replay import RunOnce

    return [RunOnce.from_parent(parent, path=file_path) for _ in found]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks the quick tests, and puts the parts that take longest first and those of the browser last."""
    for item in items:
        if not item.nodeid.startswith(NOT_QUICK):
            item.add_marker(pytest.mark.quick)
    items.sort(key=lambda item: (*_turn(part(item.nodeid)), item.nodeid.startswith("notebooks/")))


def _turn(name):
    order = (EDITION, *LONGEST)
    return name.startswith("tests/browser/"), order.index(name) if name in order else len(order)
