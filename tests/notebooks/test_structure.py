"""The anatomy that all notebooks share; what each one teaches is checked by running it."""

import ast
import math
import re
import statistics

import numpy as np
import pytest
from reading_time import code_lines, deeper, main_line, minutes, rounded, words
from support.cells import (
    PATHS,
    code_cells,
    data_that_functions_read,
    exercises,
    images,
    imports,
    in_reach,
    invited,
    lesson,
    markdown,
    read,
)

pytestmark = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
IGNORE = {"nbval-ignore-output", "nbval-skip"}
# Minutes of a main line; together those of notebooks 0 to 6 are at most four and a half hours.
BUDGETS = {"00": 20, "01": 40, "02": 45, "03": 40, "04": 40, "05": 40, "06": 45}


def headings(path):
    lines = "\n".join(re.sub(r"```.*?```", "", text, flags=re.DOTALL) for text in markdown(path)).splitlines()
    return [line for line in lines if re.match(r"#+ ", line)]


def test_code_budget(path):
    sizes = [code_lines(cell.source) for cell in code_cells(path)]
    assert statistics.median(sizes) <= 6
    assert np.quantile(sizes, 0.9) <= 15
    assert max(sizes) <= 25
    # Those of the exercises are counted apart.
    assert sum(cell.cell_type == "code" for cell in lesson(path)) <= 30


def test_the_main_line_is_one_sitting(path):
    assert minutes(main_line(read(path).cells)) <= BUDGETS.get(path.stem[:2], 45)


def test_few_imports_before_the_first_idea(path):
    count = 0
    for cell in code_cells(path):
        body = ast.parse(cell.source).body
        count += sum(isinstance(node, ast.Import | ast.ImportFrom) for node in body)
        if not all(
            isinstance(node, ast.Import | ast.ImportFrom) or ast.unparse(node) == "use_style()"
            for node in body
        ):
            break
    assert count <= 6


def test_prose_budget(path):
    prose = [cell.source for cell in lesson(path) if cell.cell_type == "markdown"]
    per_cell = sum(map(words, prose)) / (len(lesson(path)) - len(prose))
    assert 55 <= per_cell <= 110, f"{per_cell:.0f} words of prose a code cell"


def test_anatomy(path):
    found = headings(path)
    number = int(path.stem[:2])
    assert sum(h.startswith("# ") for h in found) == 1 and found[0].startswith(f"# {number} · ")
    second = [h[3:] for h in found if h.startswith("## ")]
    numbered = [h for h in second if re.match(r"\d+\. ", h)]
    assert 4 <= len(numbered) <= 6
    assert [int(h.split(".")[0]) for h in numbered] == list(range(1, len(numbered) + 1))
    assert second == ["You will be able to", *numbered, "Summary", "Exercises", "Deeper", "References"]


def test_opening_names_question_prerequisites_and_minutes(path):
    """The two times are computed: `notebooks/refresh.py` writes them."""
    opening = markdown(path)[0]
    assert "**Question.**" in opening and "?" in opening
    assert "**Prerequisites.**" in opening
    found = re.search(
        r"\*\*Time\.\*\* (\d+) minutes to read, (\d+) more for Deeper, \d+ (minutes?|seconds) to run", opening
    )
    assert found
    assert int(found[1]) == rounded(minutes(main_line(read(path).cells)))
    assert int(found[2]) == rounded(minutes(deeper(read(path).cells)))


def test_each_section_of_deeper_gives_its_minutes(path):
    parts, current = {}, None
    for cell in deeper(read(path).cells):
        if found := re.match(r"### (.+) \((\d+) minutes?\)$", cell.source.split("\n", 1)[0]):
            current = parts.setdefault(found[1], [int(found[2]), []])
        if current is not None:
            current[1].append(cell)
    headings = [
        line
        for cell in deeper(read(path).cells)
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("### ")
    ]
    assert len(parts) == len(headings) >= 1
    assert {name: said for name, (said, _) in parts.items()} == {
        name: max(1, math.ceil(minutes(cells))) for name, (_, cells) in parts.items()
    }


def test_predictions_are_few_and_their_answers_folded(path):
    asked = [cell.source for cell in lesson(path) if "**Predict" in cell.source]
    assert sum(source.count("**Predict") for source in asked) <= 6
    for source in asked:
        after = source[source.index("**Predict") :]
        assert "<summary>Answer</summary>" in after, after[:80]


def test_numbers_are_printed_and_not_true_or_false(path):
    for cell in code_cells(path):
        printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        assert not re.search(r"\b(True|False)\b", printed), printed


def test_prose_has_minus_signs(path):
    for text in markdown(path):
        text = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)", " ", text, flags=re.DOTALL)
        assert not re.search(r"(?<![\w–-])-\d", text), re.search(r".{20}(?<![\w–-])-\d.{10}", text)


def test_every_section_asks_for_a_prediction(path):
    prose = [cell.source for cell in lesson(path) if cell.cell_type == "markdown"]
    sections = re.split(r"^## ", "\n".join(prose), flags=re.MULTILINE)
    missing = [s.splitlines()[0] for s in sections if re.match(r"\d+\. ", s) and "**Predict.**" not in s]
    assert not missing


def test_claims_are_asserted(path):
    asserts = sum("assert" in cell.source or ".check()" in cell.source for cell in code_cells(path))
    assert asserts >= 5


def test_figures_have_alt_text_and_a_caption_that_says_what_is_seen(path):
    number = int(path.stem[:2])
    cells = read(path).cells
    count = 0
    for here, after in zip(cells, [*cells[1:], None], strict=True):
        for output in images(here) if here.cell_type == "code" else []:
            count += 1
            alt = output.metadata.get("image/png", {}).get("alt", "")
            assert len(alt.split()) >= 8, f"alt text of figure {count}: {alt!r}"
            assert after is not None and after.source.startswith(f"**Figure {number}.{count}.** "), (
                f"figure {count} needs the caption '**Figure {number}.{count}.** …' in the next cell"
            )
    assert count >= 2


def test_pictures_in_prose_have_alt_text_and_exist(path):
    for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", "\n".join(markdown(path))):
        assert len(alt.split()) >= 8
        assert (path.parent / target).is_file()


def test_relative_links_resolve(path):
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", "\n".join(markdown(path))):
        if not target.startswith(("https://", "#")):
            assert (path.parent / target.split("#")[0]).exists(), target


def test_a_draw_function_depends_on_its_arguments_alone(path):
    reads = {n: data for n, data in data_that_functions_read(path).items() if n.startswith("draw_")}
    assert any(not data for data in reads.values()), reads


def test_draw_functions_make_no_figure(path):
    trees = [ast.parse(cell.source) for cell in code_cells(path)]
    found = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    draws = [node for node in found if node.name.startswith("draw_")]
    assert draws and all(node.args.args[0].arg == "ax" for node in draws)
    for node in draws:
        called = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
        assert not called & {"subplots", "figure", "show"} and not any(
            isinstance(n, ast.Global) for n in ast.walk(node)
        )


def test_stored_run_is_complete_and_clean(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert "widgets" not in read(path).metadata
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})


def test_a_slider_cell_stores_its_first_position(path):
    cells = [cell for cell in code_cells(path) if re.search(r"\bexplore\(", cell.source)]
    assert cells
    for cell in cells:
        (output,) = cell.outputs
        assert images(cell) == [output]
        assert output.data["text/plain"].startswith("sliders at ")
        assert output.metadata["image/png"]["alt"].strip()


def test_every_slider_is_announced_by_a_prediction(path):
    prose = ""  # since the slider before
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            prose += cell.source
        elif re.search(r"\b(explore|train_live)\(", cell.source):
            assert "**Predict" in prose, cell.source
            prose = ""


def test_few_outputs_are_ignored_and_each_says_why(path):
    cells = code_cells(path)
    ignored = [c for c in cells if IGNORE & {t.lower() for t in c.metadata.get("tags", [])}]
    assert len(ignored) <= 0.1 * len(cells)
    assert not any("NBVAL_" in cell.source for cell in cells), "use cell tags"
    for cell in ignored:
        assert re.search(r"# output not compared: \w+", cell.source)


def test_exercises_have_a_stub_hints_and_a_solution(path):
    found = exercises(path)
    titles = re.findall(r"^\*\*Exercise (\d+) \(", "\n".join(markdown(path)), flags=re.MULTILINE)
    assert [e.number for e in found] == list(map(int, titles)) == list(range(1, len(found) + 1))
    assert len(found) >= 3
    assert "warm-up" in found[0].question and "stretch" in found[-1].question
    for exercise in found:
        check, function = exercise.call
        assert code_lines(exercise.stub.source) <= 12
        assert f"def {function}(" in exercise.stub.source and f"def {function}(" in exercise.solution
        assert exercise.solution.rstrip().endswith(f"assert {check}({function}).passed")
        (output,) = exercise.stub.outputs
        assert "not attempted yet" in output.data["text/plain"]
        assert_hints_open_one_at_a_time(exercise.question)


def assert_hints_open_one_at_a_time(question):
    depth, open_hints = 0, []
    for tag, number in re.findall(r"(<details>|</details>|<summary>Hint (\d)</summary>)", question):
        depth += {"<details>": 1, "</details>": -1}.get(tag, 0)
        if number:
            open_hints.append((int(number), depth))
    assert depth == 0
    nested = [(number, number) for number in range(1, len(open_hints) + 1)]
    assert open_hints and open_hints == nested, "each hint stands inside the one before"


def test_an_exercise_finds_what_it_invites_to(path):
    for exercise in exercises(path):
        reach = in_reach(path, exercise)
        for name in invited(exercise):
            module, *attributes = name.split(".")
            assert module in reach, f"exercise {exercise.number} speaks of {name}: {module} is not there"
            if reach[module] and attributes:
                space = {}
                exec(reach[module], space)
                eval(name, space)  # an AttributeError says what is missing


def test_the_lesson_uses_all_that_it_imports(path):
    """In notebooks Ruff does not look: the stub of an exercise imports what an answer may want."""
    cells = [*lesson(path), *deeper(read(path).cells)]
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    assert set(imports(source)) <= used


def test_solutions_run_and_pass_their_check(path):
    for exercise in exercises(path):
        code = compile(exercise.solution, f"{path.stem}, solution {exercise.number}", "exec")
        exec(code, {"__name__": "__main__"})


def test_speaks_of_itself_alone(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/home/|/tmp/|/work/|/root/|C:\\\\", text)
