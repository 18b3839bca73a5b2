import json
import math
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import cnnlab.ui.components

COMPONENTS = Path(cnnlab.ui.components.__file__).parent

RUNNER = """
import { createInterface } from "node:readline";

const revive = (_, value) => {
  if (value && typeof value === "object") {
    if ("$number" in value) return Number(value.$number);
    if ("$float32" in value) return Float32Array.from(value.$float32);
    if ("$uint8" in value) return Uint8Array.from(value.$uint8);
  }
  return value;
};
const plain = (_, value) => {
  if (ArrayBuffer.isView(value)) return Array.from(value);
  return typeof value === "number" && !Number.isFinite(value) ? { $number: String(value) } : value;
};
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const { module, calls } = JSON.parse(line, revive);
    const functions = await import(module);
    answer = calls.map(([name, args]) => functions[name](...args) ?? null);
  } catch (error) {
    answer = { error: String(error.stack) };
  }
  process.stdout.write(JSON.stringify(answer, plain) + "\\n");
}
"""


@pytest.fixture(scope="session")
def node():
    """Path of Node.js."""
    found = shutil.which("node")
    if found is None:
        message = "Node.js is not installed: the views' arithmetic is not tested."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="session")
def scripts(tmp_path_factory):
    """The views' scripts in a folder where Node takes them for modules."""
    folder = tmp_path_factory.mktemp("scripts")
    for source in COMPONENTS.rglob("*.js"):
        target = folder / source.relative_to(COMPONENTS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.read_text("utf-8"), "utf-8")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "runner.js").write_text(RUNNER)
    return folder


@pytest.fixture(scope="session")
def javascript(scripts, node):
    """Calls functions of a script: `javascript("picture/math.js", ("sumRows", steps, 4), …)` gives their results."""
    # One process for all tests: starting Node takes longer than most of them.
    with subprocess.Popen(
        [node, "runner.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", cwd=scripts
    ) as process:

        def run(module, *calls):
            calls = [[name, [_wire(argument) for argument in arguments]] for name, *arguments in calls]
            process.stdin.write(json.dumps({"module": f"./{module}", "calls": calls}) + "\n")
            process.stdin.flush()
            answer = _back(json.loads(process.stdout.readline()))
            assert not isinstance(answer, dict), answer["error"]
            return answer

        yield run
        process.stdin.close()


def _wire(value):
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        return {"$float32": value.ravel().tolist()}
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return {"$uint8": value.ravel().tolist()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return {"$number": {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")}
    if isinstance(value, dict):
        return {name: _wire(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_wire(item) for item in value]
    return value


def _back(value):
    if isinstance(value, dict):
        if "$number" in value:
            return float(value["$number"])
        return {name: _back(item) for name, item in value.items()}
    return [_back(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def diverging():
    """Blue to white to orange."""
    share = np.linspace(0, 1, 256)[:, None]
    blue, white, orange = np.array([[0, 114, 178], [245, 245, 245], [230, 159, 0]], float)
    half = np.where(share < 0.5, blue + (white - blue) * 2 * share, white + (orange - white) * (2 * share - 1))
    return half.round().astype(np.uint8)
