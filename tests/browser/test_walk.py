"""The random walk of tests/trust moves what is there, and sees an error and memory that is not given back."""

import random

import pytest
from trust import walk

PAGE = """<!doctype html><div class="vae-live"><input type="range"><button>go</button>
<select><option>a</option><option>b</option></select></div>
<script>const seen = new Set(), kept = [];
for (const kind of ["input", "click", "change"])
    document.addEventListener(kind, event => {{ seen.add(event.target.tagName + kind); {also} }});
</script>"""
HARMLESS, RAISES, LEAKS = "", "null.x", "kept.push(new Array(4e6).fill(1.5))"


@pytest.fixture
def walked(chromium):
    """Walks for two seconds over a page with these words in its handler; the walk, and what was touched."""
    page = chromium.new_page()

    def on(also):
        found = walk.Walk()
        walk.listen(page, "made up", found)
        page.set_content(PAGE.format(also=also))
        found.on(page, "made up", 2.0, random.Random(0), lambda: walk.heap(page))
        return found, set(page.evaluate("[...seen]"))

    yield on
    page.close()


def test_a_walk_touches_every_control_and_complains_of_nothing(walked):
    found, touched = walked(HARMLESS)
    assert touched >= {"INPUTinput", "BUTTONclick", "SELECTchange"} and found.steps > 3
    assert [row.failed for row in found.rows("here")] == [0, 0]


@pytest.mark.parametrize("also, failed", [(RAISES, 0), (LEAKS, 1)], ids=["an error", "a leak"])
def test_a_walk_sees(walked, also, failed):
    found, _ = walked(also)
    assert found.rows("here")[failed].failed > 0 == found.rows("here")[1 - failed].failed
