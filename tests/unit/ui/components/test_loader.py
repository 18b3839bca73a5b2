import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import cnnlab.ui.components
from cnnlab.ui.components import joined, lut_hex, pack, unpack

COMPONENTS = Path(cnnlab.ui.components.__file__).parent
VIEWS = sorted(path.parent.name for path in COMPONENTS.glob("*/view.js"))


def test_every_view_is_found():
    assert VIEWS == [
        "conv_steps",
        "draw_pad",
        "heat_wall",
        "live_curves",
        "map_wall",
        "matrix_grid",
        "net_diagram",
        "picture",
    ]


def test_what_is_imported_comes_first_and_once(tmp_path):
    (tmp_path / "a.js").write_text("export const a = 1;\n")
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\nexport function b() { return a; }\n')
    (tmp_path / "view.js").write_text(
        'import {\n  a,\n} from "./a.js";\nimport { b } from "./b.js";\n'
        "export default function view() { return b() + a; }\n"
    )
    assert joined(tmp_path / "view.js") == (
        "const a = 1;\n\nfunction b() { return a; }\n\nexport default function view() { return b() + a; }\n"
    )


def test_comments_of_whole_lines_go_and_others_stay(tmp_path):
    (tmp_path / "view.js").write_text(
        '// one\n/**\n * two\n */\nexport default function () {\n  // three\n  return "// four"; // five\n}\n'
    )
    assert joined(tmp_path / "view.js") == 'export default function () {\n  return "// four"; // five\n}\n'


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_one_module_with_one_export(name):
    script = joined(COMPONENTS / name / "view.js")
    assert not re.search(r"^import\b", script, re.MULTILINE)
    assert re.findall(r"^export .*", script, re.MULTILINE) == [
        next(line for line in script.splitlines() if line.startswith("export default function"))
    ]


@pytest.mark.parametrize("name", VIEWS)
def test_a_joined_view_is_valid_javascript(name, tmp_path, node):
    # Two files that use the same name at the top would be a syntax error here.
    script = tmp_path / "view.mjs"
    script.write_text(joined(COMPONENTS / name / "view.js"), "utf-8")
    done = subprocess.run([node, "--check", str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(COMPONENTS.rglob("*.js")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_script_writes_markup_or_asks_the_network(path):
    source = path.read_text("utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "fetch(", "eval("):
        assert word not in source


@pytest.mark.parametrize("path", sorted(COMPONENTS.rglob("math.js")), ids=lambda path: path.parent.name)
def test_arithmetic_knows_no_page(path):
    assert not re.search(r"\b(document|window|navigator)\.\w|\bHTMLElement\b", path.read_text("utf-8"))


def test_a_packed_message_comes_back():
    header, body = {"title": "5 × 5 “kernel”", "size": [2, 3]}, bytes(range(256))
    assert unpack(pack(header, body)) == (header, body)


def test_a_header_refuses_what_json_cannot_hold():
    with pytest.raises(ValueError, match="JSON"):
        pack({"minimum": float("nan")})


def test_the_browser_unpacks_what_python_packs(javascript):
    message = pack({"title": "−1 × ü"}, b"\x00\x01\xff")
    (back,) = javascript("shared/bytes.js", ("unpack", np.frombuffer(message, np.uint8)))
    assert back == {"header": {"title": "−1 × ü"}, "body": [0, 1, 255]}


def test_a_colour_table_of_another_shape_is_refused():
    with pytest.raises(TypeError, match="256, 3"):
        lut_hex(np.zeros((255, 3), np.uint8))
