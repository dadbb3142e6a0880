"""How many instructions does one inference take on a Raspberry Pi 4 and 5? Exact counts, from an emulator.

make emulation
python -m benchmarks.peers vgg7 --folder runs/peers
python -m benchmarks.arm_instructions runs/peers/vgg7.tflite runs/peers/vgg7-*.tflite

Instructions are not time. With LLVM 17 or newer (Debian: llvm-19) there is an estimate of cycles beside them: every
block of instructions that ran is given to llvm-mca, whose tables of throughput follow Arm's optimization guides, and
its cycles are multiplied by how often it ran. For the Cortex-A72 LLVM has the tables of the A57, its predecessor, and
for the Cortex-A76 those of the Neoverse N1, its form for servers. The estimate leaves out latencies, caches and
mispredicted branches. The real cores are slower, and nobody has measured here by how much.
"""

import argparse
import bisect
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bduo_terminal import add_verbose
from benchmarks.tables import markdown

__all__ = ["Block", "cycles", "main", "parse"]

_ROOT = Path(__file__).parents[1]
_PIS = {"pi4": ("Raspberry Pi 4", "cortex-a72"), "pi5": ("Raspberry Pi 5", "neoverse-n1")}
_LEAST_LLVM = 17  # it has the Neoverse N1


@dataclass(frozen=True)
class Block:
    """Instructions that run one after another.

    Attributes:
        runs: how often they ran.
        address: the address of the first of them.
        words: the encoding of each of them, in hexadecimal digits.
        function: the function of bduo_runtime that they belong to, or the name of another library.
    """

    runs: int
    address: int
    words: tuple[str, ...]
    function: str

    @property
    def instructions(self) -> int:
        return self.runs * len(self.words)


class _Symbols:
    """Tells what lies at an address, from the memory map of a process and the symbols of bduo_runtime."""

    def __init__(self, maps: str, pi: Path) -> None:
        self._regions: list[tuple[int, int, str, list[tuple[int, str]]]] = []
        for line in maps.splitlines():
            fields = line.split()
            if len(fields) < 6 or not Path(fields[5]).is_file():
                continue
            start, end = (int(x, 16) for x in fields[0].split("-"))
            functions = _functions(Path(fields[5]), int(fields[2], 16) - start, pi) if "bduo" in fields[5] else []
            self._regions.append((start, end, Path(fields[5]).name, functions))

    def __getitem__(self, address: int) -> str:
        for start, end, name, functions in self._regions:
            if start <= address < end:
                i = bisect.bisect_right(functions, (address, "~")) - 1
                return functions[i][1] if i >= 0 else name
        return "others"


def _output(command: Sequence[str | Path], stdin: str = "") -> str:
    done = subprocess.run(list(map(str, command)), input=stdin, capture_output=True, text=True, check=True)
    return done.stdout


def _functions(library: Path, shift: int, pi: Path) -> list[tuple[int, str]]:
    """The addresses and names of a library's functions.

    Args:
        library: the shared library.
        shift: what is to be added to an address in memory for the place in the file.
        pi: the folder of the emulated Raspberry Pi, which has the tools.
    """
    headers = _output([pi / "bin/aarch64-readelf", "-lW", library])
    segments = [[int(x, 16) for x in line.split()[1:5]] for line in headers.splitlines() if " LOAD " in line]
    functions = []
    for line in _output([pi / "bin/aarch64-nm", "-C", "--defined-only", library]).splitlines():
        address, kind, name = line.split(" ", 2)
        if kind not in "tTwW":
            continue
        for offset, virtual, _, size in segments:
            if virtual <= int(address, 16) < virtual + size:
                functions.append((int(address, 16) - virtual + offset - shift, _short(name)))
    return sorted(functions)


def _short(name: str) -> str:
    """The name of a function without namespaces and parameters."""
    name = name.replace("(anonymous namespace)::", "").replace("bduo::", "").replace("kernels::", "")
    return re.sub(r"(?<=[\w>])\(.*", "", name.removeprefix("void "))


def parse(counts: str, symbols: Mapping[int, str] | _Symbols) -> list[Block]:
    """Reads the blocks that runtime/emulation/icount.c wrote; `symbols` has the function at each address."""
    blocks = []
    for line in counts.splitlines():
        kind, runs, *rest = line.split()
        if kind == "block":
            address = int(rest[0], 16)
            blocks.append(Block(int(runs), address, tuple(rest[1:]), symbols[address]))
    return blocks


def _tool(name: str) -> str | None:
    """The path of an LLVM tool that is new enough; None if there is none."""
    for candidate in (name, *(f"{name}-{version}" for version in range(30, _LEAST_LLVM - 1, -1))):
        path = shutil.which(candidate)
        if path is not None:
            found = re.search(r"version (\d+)", _output([path, "--version"]))
            if found and int(found[1]) >= _LEAST_LLVM:
                return path
    return None


def cycles(blocks: Iterable[Block], processor: str) -> Counter[str] | None:
    """Estimates the cycles of each function; None if LLVM is not installed."""
    mc, mca = _tool("llvm-mc"), _tool("llvm-mca")
    if mc is None or mca is None:
        return None
    blocks = list(blocks)
    code = "\n".join(",".join(f"0x{word[i : i + 2]}" for i in (6, 4, 2, 0)) for b in blocks for word in b.words)
    listed = _output([mc, "-disassemble", "-triple=aarch64", "-mattr=+v8.2a,+dotprod,+fp16fml,+crypto"], code)
    lines = iter([line for line in listed.splitlines() if line.strip() and not line.strip().startswith(".")])
    regions = []
    for i, block in enumerate(blocks):
        body = [next(lines) for _ in block.words]
        regions += [f"# LLVM-MCA-BEGIN {i}", *body, "# LLVM-MCA-END"]
    options = [f"-mcpu={processor}", "-iterations=1", "-instruction-info=0", "-resource-pressure=0"]
    report = _output([mca, "-mtriple=aarch64", *options], "\n".join(regions))
    result: Counter[str] = Counter()
    found = re.findall(r"Code Region - (\d+)\n(?:.*\n)*?Block RThroughput: ([\d.]+)", report)
    for i, throughput in found:
        result[blocks[int(i)].function] += round(blocks[int(i)].runs * float(throughput))
    return result


def _measure(pi: Path, name: str, model: Path, library: Path) -> list[Block]:
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        environment = os.environ | {
            "ICOUNT": str(counts),
            "BDUO_RUNTIME_LIBRARY": str(library),
            "PYTHONPATH": str(_ROOT / "runtime"),
        }
        command = [pi / f"bin/{name}", pi / "python/bin/python", _ROOT / "runtime/emulation/invoke.py", model.resolve()]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, cwd=_ROOT)
        if done.returncode != 0 or not counts.exists():
            raise SystemExit(f"error: {model} does not run on the emulated {name}: {done.stderr.strip()[-500:]}")
        return parse(counts.read_text(), _Symbols(done.stdout, pi))


def _build(pi: Path, folder: str) -> Path:
    """Cross-compiles the delegate of this tree."""
    tools = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    configure = ["-S", str(_ROOT / "runtime"), "-B", folder, "-G", "Ninja"]
    for options in (
        [*configure, f"-DCMAKE_TOOLCHAIN_FILE={pi / 'toolchain.cmake'}"],
        ["--build", folder, "--target", "bduo_runtime"],
    ):
        subprocess.run(["cmake", *options], check=True, stdout=subprocess.DEVNULL, env=tools)
    return Path(folder) / "libbduo_runtime.so"


def _with_ratio(number: int, first: int) -> list[str]:
    return [f"{number / 1e6:.2f}M", f"{number / first:.1f}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.arm_instructions",
        description="Counts the instructions of one inference (one thread) on an emulated Raspberry Pi 4 and 5.",
    )
    parser.add_argument("files", nargs="+", type=Path, help=".tflite files; the others are compared with the first")
    parser.add_argument("--pi", type=Path, default=_ROOT / ".venv/pi", help="what `make emulation` set up")
    parser.add_argument(
        "--library", type=Path, help="libbduo_runtime.so for arm64 (default: built from this tree by GCC)"
    )
    parser.add_argument("--functions", type=int, default=8, help="functions of the first file to list (default: 8)")
    add_verbose(parser)
    args = parser.parse_args(argv)
    if not (args.pi / "ready").exists():
        raise SystemExit(f"error: there is no emulated Raspberry Pi in {args.pi}: make emulation")
    for file in args.files:
        if not file.is_file():
            raise SystemExit(f"error: {file} does not exist")
    pi = args.pi.resolve()

    with tempfile.TemporaryDirectory() as folder:
        library = args.library.resolve() if args.library else _build(pi, folder)
        blocks = {(p, f): _measure(pi, p, f, library) for p in _PIS for f in args.files}
    estimates = {(p, f): cycles(b, _PIS[p][1]) for (p, f), b in blocks.items()}
    if None in estimates.values():
        print("No estimates: llvm-mc and llvm-mca 17 or newer are not installed (Debian: apt-get install llvm-19).\n")

    columns = ("instructions", "ratio", "cycles (estimate)", "ratio")
    rows = [["file", *(f"{title}: {c}" for title, _ in _PIS.values() for c in columns)]]
    for file in args.files:
        row = [file.name]
        for p in _PIS:
            row += _with_ratio(*(sum(b.instructions for b in blocks[p, f]) for f in (file, args.files[0])))
            ours, first = estimates[p, file], estimates[p, args.files[0]]
            row += _with_ratio(sum(ours.values()), sum(first.values())) if ours and first else ["", ""]
        rows.append(row)
    print(markdown(rows))

    rows = [["function", *(f"{title}: {c}" for title, _ in _PIS.values() for c in columns[::2])]]
    counted = {p: Counter[str]() for p in _PIS}
    for p in _PIS:
        for block in blocks[p, args.files[0]]:
            counted[p][block.function] += block.instructions
    for name, _ in counted["pi4"].most_common(args.functions):
        row = [name]
        for p in _PIS:
            estimate = estimates[p, args.files[0]]
            row += [f"{counted[p][name]:,}", f"{estimate[name]:,}" if estimate else ""]
        rows.append(row)
    print(f"\n{args.files[0].name}, by function:\n\n{markdown(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
