"""What contributors are promised: links and paths in the docs lead somewhere, and commit messages are checked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "runtime/README.md"]


def _anchors(page: Path) -> set[str]:
    """The anchors that the headings of a page have on GitHub."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    folders = (ROOT, ROOT / "runtime")
    tops = {path.name for folder in folders for path in folder.iterdir() if path.is_dir()} - {"runs", "build", "dist"}
    for name in re.findall(r"`([\w.-]+/[\w./-]+)`", page.read_text()):
        if name.split("/")[0] in tops:
            assert any((folder / name).exists() for folder in folders), name


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    assert {page.name for page in ROOT.glob("docs/*.md")} - {"README.md"} == set(re.findall(r"\]\((\w+\.md)\)", index))


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("Layers: thresholds have one base\n\nSo that there is one place.\n", None),
        ("x" * 72, None),
        ("\nA subject after a blank line\n# a comment of git's\n\nA body.\n", None),
        ("A subject\n# ------------------------ >8 ------------------------\ndiff --git\n", None),
        ("x" * 73, "the subject has 73 characters, of at most 72"),
        ("A subject\nthat goes on", "the second line must be blank"),
        ("# Please enter the commit message\n", "the message is empty"),
    ],
)
def test_commit_messages(message: str, problem: str | None, tmp_path: Path) -> None:
    file = tmp_path / "COMMIT_EDITMSG"
    file.write_text(message)
    done = subprocess.run([sys.executable, ROOT / ".ci/commit-message", file], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0 if problem is None else 1, "")
    assert (problem or "") in done.stderr
    assert bool(done.stderr) == bool(problem)
