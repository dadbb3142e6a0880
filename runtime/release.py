"""Builds a release: the sdist and a wheel for each platform, cross-compiled with zig; checks them, writes checksums.

python runtime/release.py --output dist [--platform NAME ...]
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EXPORTS = {"tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate"}


@dataclass(frozen=True)
class System:
    """An operating system: which libraries of it the delegate may need, and which symbols it may export.

    Attributes:
        name: CMake's name of the system.
        library: the file name of the delegate.
        needs: the libraries of the system that the delegate may need, with shell wildcards.
        prefix: what the system puts before the name of a C function.
        more_exports: symbols that the delegate may export beside EXPORTS, with shell wildcards.
    """

    name: str
    library: str
    needs: tuple[str, ...]
    prefix: str = ""
    more_exports: tuple[str, ...] = ()


LINUX = System(
    "Linux", "libbduo_runtime.so", ("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-*.so.?")
)
MACOS = System(
    "Darwin", "libbduo_runtime.dylib", ("@rpath/libbduo_runtime.dylib", "/usr/lib/libSystem.B.dylib"), prefix="_",
    # zig's linker exports the operators new and delete of the static libc++ too, and two names of its own.
    more_exports=("__Zn[aw]*", "__Zd[al]*", "__mh_dylib_header", "___dso_handle"),
)  # fmt: skip
WINDOWS = System("Windows", "bduo_runtime.dll", ("KERNEL32.dll", "api-ms-win-crt-*.dll"))


@dataclass(frozen=True)
class Platform:
    """A platform that a wheel is built for.

    Attributes:
        tag: the platform tag in the wheel's name.
        system: the operating system.
        processor: CMake's name of the processor.
        target: zig's name of the platform.
        architecture: LIEF's name of the processor.
        glibc: the newest version of glibc that the delegate may need; empty on systems without glibc.
    """

    tag: str
    system: System
    processor: str
    target: str
    architecture: str
    glibc: tuple[int, ...] = ()


PLATFORMS = {
    "manylinux-x86_64": Platform(
        "manylinux_2_17_x86_64", LINUX, "x86_64", "x86_64-linux-gnu.2.17", "X86_64", glibc=(2, 17)
    ),
    "manylinux-aarch64": Platform(
        "manylinux_2_17_aarch64", LINUX, "aarch64", "aarch64-linux-gnu.2.17", "ARM64", glibc=(2, 17)
    ),
    "macos-arm64": Platform("macosx_11_0_arm64", MACOS, "arm64", "aarch64-macos.11.0", "ARM64"),
    "windows-amd64": Platform("win_amd64", WINDOWS, "AMD64", "x86_64-windows-gnu", "X86_64"),
}


class ReleaseError(Exception):
    """A release cannot be built or is not good; the message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code: 0, or 1 after one line on what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="a folder that does not exist yet")
    parser.add_argument("--platform", nargs="+", default=list(PLATFORMS), metavar="NAME", help=", ".join(PLATFORMS))
    args = parser.parse_args(argv)
    try:
        release(args.output, args.platform)
    except (ReleaseError, OSError) as e:
        print(f"release.py: error: {e}", file=sys.stderr)
        return 1
    return 0


def release(output: Path, names: Sequence[str]) -> None:
    """Makes the folder `output` once everything in it was built and found good.

    Args:
        output: a folder that does not exist yet.
        names: the platforms to build wheels for, keys of PLATFORMS.

    Raises:
        ReleaseError: an argument is wrong, a package is missing, a build fails or a wheel is not good.
    """
    unknown = sorted(set(names) - set(PLATFORMS))
    if unknown:
        raise ReleaseError(f"no platform {', '.join(unknown)}; there are {', '.join(PLATFORMS)}")
    missing = [module for module in ("build", "lief", "scikit_build_core", "ziglang") if find_spec(module) is None]
    if missing:
        raise ReleaseError(f"{', '.join(missing)} missing: pip install -r {HERE / 'requirements-release.txt'}")
    if output.exists():
        raise ReleaseError(f"{output} exists already; name a new folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as scratch:
        finished, sources = Path(scratch, "finished"), Path(scratch, "sources")
        finished.mkdir()
        date = {"SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or commit_time()}
        sdist = run_build("sdist", HERE, finished, date)
        with tarfile.open(sdist) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Pythons before 3.11.4 have none
            archive.extractall(sources)
        (tree,) = sources.iterdir()
        for name in dict.fromkeys(names):
            platform = PLATFORMS[name]
            check(run_build("wheel", tree, finished, date | cross_environment(platform)), platform)
        sums = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in sorted(finished.iterdir())]
        Path(finished, "SHA256SUMS").write_text("".join(sums))
        finished.rename(output)


def cross_environment(platform: Platform) -> dict[str, str]:
    """Environment variables with which CMake compiles for a platform, and the wheel is named after it."""
    return {
        "CXX": f"{sys.executable} -m ziglang c++ -target {platform.target}",
        "CMAKE_ARGS": f"-DCMAKE_SYSTEM_NAME={platform.system.name} -DCMAKE_SYSTEM_PROCESSOR={platform.processor}",
        "_PYTHON_HOST_PLATFORM": platform.tag,
    }


def run_build(kind: str, source: Path, folder: Path, variables: dict[str, str]) -> Path:
    """Builds the sdist or a wheel.

    Args:
        kind: "sdist" or "wheel".
        source: the folder of the sources.
        folder: the folder to build into.
        variables: environment variables of the build.

    Returns:
        The path of what was built.

    Raises:
        ReleaseError: the build fails.
    """
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),  # cmake and ninja
        "CMAKE_GENERATOR": "Ninja",
        "CXXFLAGS": "",
        "LDFLAGS": "",
        **variables,
    }
    before = set(folder.iterdir())
    start = time.perf_counter()
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(folder), str(source)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise ReleaseError(f"the build failed: {' '.join(command)}\n{done.stdout}")
    (built,) = set(folder.iterdir()) - before
    print(f"{built.name}  {built.stat().st_size / 1e3:.0f} kB, {time.perf_counter() - start:.0f} s", flush=True)
    return built


def commit_time() -> str:
    """The time of the checked-out commit, in seconds since 1970.

    The files in a release have it as their date, so that every build of a commit gives the same bytes.
    """
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=HERE, capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"{HERE} is no git checkout: set SOURCE_DATE_EPOCH, the time that files are dated with")
    return done.stdout.strip()


def check(wheel: Path, platform: Platform) -> None:
    """Checks that the system's loader will find everything that the delegate in a wheel needs.

    Raises:
        ReleaseError: the delegate is missing or for another processor, or exports or needs what it should not.
    """
    import lief

    lief.logging.disable()
    system = platform.system
    if not wheel.name.endswith(f"-py3-none-{platform.tag}.whl"):
        raise ReleaseError(f"{wheel.name} is not tagged py3-none-{platform.tag}")
    with zipfile.ZipFile(wheel) as archive:
        libraries = [name for name in archive.namelist() if name.endswith((".so", ".dylib", ".dll"))]
        if libraries != [f"bduo_runtime/{system.library}"]:
            raise ReleaseError(f"{wheel.name} has the libraries {libraries}, not {system.library} alone")
        library = lief.parse(archive.read(libraries[0]))
    if library is None:
        raise ReleaseError(f"{wheel.name}: {system.library} cannot be read")
    wrong = []
    architecture = library.abstract.header.architecture.name
    if architecture != platform.architecture:
        wrong.append(f"is for {architecture}")
    wanted = {system.prefix + name for name in EXPORTS}
    exported = exports(library)
    if not wanted <= exported:
        wrong.append(f"does not export {', '.join(sorted(wanted - exported))}")
    if unwanted := unmatched(exported - wanted, system.more_exports):
        wrong.append(f"exports {', '.join(unwanted)}")
    if unwanted := unmatched({getattr(lib, "name", lib) for lib in library.libraries}, system.needs):
        wrong.append(f"needs {', '.join(unwanted)}")
    if newer := [".".join(map(str, v)) for v in sorted(glibc_versions(library)) if v > platform.glibc]:
        wrong.append(f"needs glibc {newer[-1]}")
    if wrong:
        raise ReleaseError(f"{wheel.name}: {system.library} {'; '.join(wrong)}")


def exports(library: Any) -> set[str]:
    """The names of all symbols that a library exports."""
    if library.format.name == "PE":
        return {entry.name for entry in library.get_export().entries}
    return {symbol.name for symbol in library.exported_symbols}


def glibc_versions(library: Any) -> set[tuple[int, ...]]:
    """The versions of glibc that the symbols of an ELF library are bound to, such as {(2, 17), (2, 2, 5)}."""
    if library.format.name != "ELF":
        return set()
    names = [aux.name for need in library.symbols_version_requirement for aux in need.get_auxiliary_symbols()]
    return {tuple(map(int, name.removeprefix("GLIBC_").split("."))) for name in names}


def unmatched(names: set[str], patterns: tuple[str, ...]) -> list[str]:
    """The names that no pattern with shell wildcards matches, sorted."""
    return sorted(name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns))


if __name__ == "__main__":
    sys.exit(main())
