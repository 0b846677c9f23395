"""Modules joined into one script: what is kept, what is refused, and that it runs."""

import re
import shutil
import subprocess

import pytest
from lab_engine import skip_without_node

from vae_helpers.widgets.bundle import as_classic_script, join_modules


def write(folder, **modules):
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return folder / "main.js"


LEAF = "export const TWO = 2, THREE = 3;\nexport function twice(x) { return TWO * x; }\nconst own = 1;\n"


def test_a_module_stands_after_those_it_imports_and_each_stands_once(tmp_path):
    main = write(
        tmp_path,
        leaf=LEAF,
        middle='import { twice } from "./leaf.js";\nexport const fourTimes = (x) => twice(twice(x));\n',
        main='import { fourTimes } from "./middle.js";\nimport { THREE } from "./leaf.js";\n'
        "export default { answer: fourTimes(THREE) };\n",
    )
    text = join_modules(main)
    assert text.index("function twice") < text.index("fourTimes =") < text.index("answer:")
    assert text.count("const TWO") == 1
    assert not re.search(r"^import\b", text, re.MULTILINE)
    assert re.findall(r"^export.*", text, re.MULTILINE) == ["export default { answer: fourTimes(THREE) };"]


def test_a_page_can_run_the_script_without_modules(tmp_path):
    skip_without_node()
    tricky = (
        'const text = `import { a } from "./b.js";\nexport const twice = ${`}`};`;\n'
        "const quote = /[`'\"{]/, half = 6 / 2 / 3;\n"
        "// import nothing from '\n"
    )
    main = write(
        tmp_path,
        leaf=LEAF,
        main=f'import {{ twice }} from "./leaf.js";\n{tricky}export default {{ answer: twice(21) }};\n',
    )
    script = as_classic_script(main, "joined") + "console.log(joined.answer);"
    run = subprocess.run(
        [shutil.which("node"), "--input-type=commonjs", "-e", script], capture_output=True, text=True
    )
    assert run.stdout == "42\n", run.stderr


@pytest.mark.parametrize(
    "text, message",
    [
        ('import twice from "./leaf.js";\n', "known form, got 'import twice"),
        ('import { twice as double } from "./leaf.js";\n', "known form, got 'import { twice as"),
        ('import * as leaf from "./leaf.js";\n', "known form, got 'import \\* as"),
        ('import { twice } from "leaf";\n', "known form"),
        ('import {\n  twice } from "./leaf.js";\n', "known form"),
        ("export { a };\n", "known form, got 'export { a };'"),
        ("export default 1;\nexport default 2;\n", "known form, got 'export default 2;'"),
        ("export let moving = 1;\n", "known form"),
        ('import { gone } from "./absent.js";\n', "a file, got .*absent.js, which main.js imports"),
        ('import { own } from "./leaf.js";\n', "leaf.js to export what main.js imports, got no 'own'"),
        (
            'import { twice } from "./leaf.js";\nfunction own() {}\n',
            "differ, got 'own' in leaf.js and in main.js",
        ),
        ('import { twice } from "./leaf.js";\nconst a = [1, 2], own = a;\n', "differ, got 'own'"),
        ('import { twice } from "./leaf.js";\nconst { a: own, b } = f();\n', "differ, got 'own'"),
        ('import { twice } from "./leaf.js";\nclass TWO {}\n', "differ, got 'TWO'"),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"^path: expected .*{message}"):
        join_modules(write(tmp_path, leaf=LEAF, main=text))


@pytest.mark.parametrize(
    "text",
    [
        "const { own: mine } = f();\n",
        "function f() {\n  const own = 1;\n}\n",
        "const a = 'own', b = { own: 1 };\n",
    ],
)
def test_a_name_that_is_not_at_the_top_may_be_there_twice(tmp_path, text):
    assert join_modules(write(tmp_path, leaf=LEAF, main='import { twice } from "./leaf.js";\n' + text))


def test_a_circle_is_refused(tmp_path):
    main = write(
        tmp_path,
        other='import { a } from "./main.js";\nexport const b = 1;\n',
        main='import { b } from "./other.js";\nexport const a = 1;\n',
    )
    with pytest.raises(ValueError, match="^path: expected .* got main.js → other.js → main.js"):
        join_modules(main)


def test_an_imported_module_has_no_default(tmp_path):
    main = write(tmp_path, leaf=LEAF + "export default {};\n", main='import { twice } from "./leaf.js";\n')
    with pytest.raises(ValueError, match="^path: expected no 'export default' in leaf.js"):
        join_modules(main)


@pytest.mark.parametrize("text, name", [("export default {};\n", "a b"), ("const a = 1;\n", "fine")])
def test_a_script_needs_a_name_and_a_default(tmp_path, text, name):
    with pytest.raises(ValueError, match="^(name|path): expected"):
        as_classic_script(write(tmp_path, main=text), name)
