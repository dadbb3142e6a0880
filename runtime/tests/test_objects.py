"""No function that is compiled for an instruction set may come to serve machines without it.

A function under one name in several object files, such as an inline one, is kept by the linker once, from any of them.
Where one of them is compiled with, say, -mpopcnt, the copy that is kept may use what a machine lacks, and the dispatch
does not help: portable kernels call it too. So an object file that is built with such flags may have no weak symbols.
Nothing is exempt today: the kernels' helpers are in anonymous namespaces, and the standard library's templates are not
used there, or only by what the compiler always inlines.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
from test_native import ENVIRONMENT, RUNTIME, run

pytestmark = [
    pytest.mark.skipif(shutil.which("cmake", path=ENVIRONMENT["PATH"]) is None, reason="CMake is not installed"),
    pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not installed"),
]

ROWS = re.compile(r'^BDUO_(?:BIT_GEMM|STAGES)\((\w+), (\w+), ([\w| ]+), "(\w+\.cc)"\)$', re.MULTILINE)
FEATURES = re.compile(r'^BDUO_FEATURE\((\w+), "(\w+)", ([\w| ]+), "([^"]*)"\)$', re.MULTILINE)
LIST = (RUNTIME / "src/kernels/list.inc").read_text()


def shared(path: Path) -> list[str]:
    """The symbols that an object file defines and that the linker may replace by, or prefer to, another file's."""
    lines = run(path.parent, "nm", "--demangle", "--defined-only", path.name).splitlines()
    return [name for _, kind, name in (line.split(maxsplit=2) for line in lines) if kind in "WwVvu"]


def commands(folder: Path, build_type: str) -> dict[str, dict[str, str]]:
    """How each kernel file of this build is compiled: {"popcnt.cc": {"command": ..., "output": ...}}."""
    options = ["-G", "Ninja", f"-DCMAKE_BUILD_TYPE={build_type}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    run(folder, "cmake", "-S", str(RUNTIME), "-B", ".", *options)
    entries = json.loads((folder / "compile_commands.json").read_text())
    return {Path(entry["file"]).name: entry for entry in entries if "/src/kernels/" in entry["file"]}


# What -O2 inlines, -O0 shows.
@pytest.mark.parametrize("build_type", ["Release", "Debug"])
def test_nothing_shared(tmp_path, build_type):
    flagged = {name: e for name, e in commands(tmp_path, build_type).items() if re.search(r" -m[a-z]", e["command"])}
    if not flagged:
        pytest.skip("kernels of this processor need no compiler flags")
    outputs = [entry["command"].split(" -o ")[1].split()[0] for entry in flagged.values()]
    run(tmp_path, "cmake", "--build", ".", "--target", *outputs)
    assert {output: names for output in outputs if (names := shared(tmp_path / output))} == {}


def test_shared_is_noticed(tmp_path):
    (tmp_path / "shared.cc").write_text("inline int twice(int x) { return 2 * x; }\nint (*pointer)(int) = twice;\n")
    run(tmp_path, "c++", "-c", "shared.cc")
    assert shared(tmp_path / "shared.o") == ["twice(int)"]


def test_flags_are_those_of_the_list(tmp_path):
    """Every kernel of this processor is built, with the flags of all features that it needs and no others."""
    built = commands(tmp_path, "Release")
    flags: dict[str, set[str]] = {"0": set()}
    for constant, _, builds_on, own in FEATURES.findall(LIST):
        flags[constant] = set(own.split()).union(*(flags[feature] for feature in builds_on.split(" | ")))
    rows = ROWS.findall(LIST)
    assert len(rows) == LIST.count("\nBDUO_BIT_GEMM(") + LIST.count("\nBDUO_STAGES(")
    processors = {processor for processor, _, _, file in rows if file in built}
    assert "any" in processors
    assert len(processors) <= 2, "files of one processor beside those of any"
    for processor, _, needs, file in rows:
        assert (file in built) == (processor in processors), file
        if file in built:
            wanted = set().union(*(flags[feature] for feature in needs.split(" | ")))
            assert set(re.findall(r"(?<= )-m\S+", built[file]["command"])) == wanted, file
    assert {file for file in built if re.search(r" -m[a-z]", built[file]["command"])} <= {row[3] for row in rows}
