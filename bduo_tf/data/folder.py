"""Opens a folder of pictures, one folder for each class, as a data set. The files are read where they are.

Nothing is copied: photographs take much more room than the small images that a network sees of them, and those stay in
memory once they were made (see `bduo_tf.data.loading`).
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bduo_tf.backend import tf
from bduo_tf.data.errors import DataError
from bduo_tf.data.holdout import TEST_FRACTION, held_out
from bduo_tf.data.pictures import examine, is_picture, read_picture
from bduo_tf.data.source import Part, Source, require_fraction, require_size

__all__ = ["PREFIX", "absolute_name", "open_folder"]

PREFIX = "folder:"
"""The beginning of the names of these data sets. The path of the folder follows."""

_TRAIN = "train"
_TESTS = ("test", "validation", "val", "valid")  # of several that are there, the first is evaluated on
_SYSTEM = {"__macosx", "@eadir", "desktop.ini", "ehthumbs.db", "thumbs.db"}  # made by systems, not by people

_Example = tuple[str, int]
"""The name of a file, relative to the folder of the data set, and its label."""


def absolute_name(name: str) -> str:
    """The name of a data set, with an absolute path if it is a folder of pictures.

    Raises:
        DataError: the path is missing.
    """
    return f"{PREFIX}{_root(name)}" if name.startswith(PREFIX) else name


def open_folder(name: str, image_size: tuple[int, int] | None = None, validation: float = 0.0) -> Source:
    """Opens a folder of pictures.

    The images have one channel if every pixel of every picture is grey, and else three.

    Args:
        name: "folder:PATH", where the folder has a folder for each class, or folders "train" and "test" (or
            "validation" or "val") that have a folder for each class.
        image_size: as for `load`.
        validation: as for `load`.

    Raises:
        DataError: there is no such folder, it does not hold what it should, or pictures in it cannot be read.
    """
    require_fraction(validation)
    tree = _Tree(_root(name))
    inside, tested = tree.parts()
    of_train, of_test = tree.classes(inside), tree.classes(tested) if tested else {}
    _require_classes(tree.root, inside, of_train, tested, of_test)
    classes = sorted(of_train)
    train, test = (
        [(file, label) for label, kind in enumerate(classes) for file in files.get(kind, ())]
        for files in (of_train, of_test)
    )
    described = tested or f"{TEST_FRACTION:.0%} of each class"
    if not tested:
        train, test = _divided(train, inside, TEST_FRACTION)
    pictures = examine(tree.root, [file for file, _ in train + test])
    if validation:
        described = f"{validation:g} of the training images"
        train, test = _divided(train, inside, validation)
        if not test:
            raise DataError("validation", f"{tree.root} has one training picture of each class: none can be set aside.")

    sizes = {(picture.height, picture.width) for picture in pictures}
    height, width = sizes.pop() if len(sizes) == 1 else (None, None)
    shape = height, width, 3 if any(picture.coloured for picture in pictures) else 1
    require_size(name, shape, image_size)

    def read_file(path: tf.Tensor) -> tf.Tensor:
        def read(path: bytes) -> np.ndarray:
            try:
                return read_picture(os.fsdecode(path))[..., : shape[2]]
            except Exception as e:  # of any kind; the file has changed since it was examined
                raise OSError(f"a picture is gone or damaged: [{os.fsdecode(path)}]") from e

        return tf.ensure_shape(tf.numpy_function(read, [path], tf.uint8, stateful=False), shape)

    def part(described: str, examples: Sequence[_Example]) -> Part:
        def files() -> tf.data.Dataset:
            paths = [os.fsencode(tree.root / file) for file, _ in examples]
            return tf.data.Dataset.from_tensor_slices((paths, np.array([label for _, label in examples], np.int64)))

        def pixels() -> tf.data.Dataset:
            return files().map(lambda path, label: (read_file(path), label), num_parallel_calls=os.cpu_count())

        return Part(described, len(examples), pixels, files)

    return Source(tuple(classes), shape, part(_TRAIN, train), part(described, test), read_file, tree.left_out())


def _root(name: str) -> Path:
    """The absolute path of the folder that a data set's name has in it."""
    path = name.removeprefix(PREFIX)
    if not path:
        raise DataError("name", f"{PREFIX} must be followed by the path of a folder of pictures.")
    return Path(os.path.abspath(os.path.expanduser(path)))


class _Tree:
    """What a folder holds, in an order that does not depend on the file system. Hidden files and folders do not count.

    Args:
        root: the folder of the data set.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError("name", f"there is no folder {root}.")
        self.root = root
        self._left_out: dict[str, str] = {}  # why, by the name

    def parts(self) -> tuple[str, str | None]:
        """The folder, relative to the root, that has the classes to train on, and the one to evaluate on, if any."""
        folders, pictures = self._entries("")
        if pictures and not folders:
            raise DataError(
                "name",
                f"the pictures lie right in {self.root}, such as {pictures[0]}: put those of each class into a folder "
                "with the name of the class.",
            )
        if not folders:
            raise DataError("name", f"{self.root} has no folders of pictures, one for each class.")
        self._left_out.update(dict.fromkeys(pictures, "in no folder of a class"))
        if _TRAIN in folders:
            # A class may be called "train" as well. Then that folder has pictures right in it.
            inner, pictures = self._entries(_TRAIN)
            if inner and not pictures:
                tested = next((part for part in _TESTS if part in folders), None)
                unused = [folder for folder in folders if folder not in (_TRAIN, tested)]
                self._left_out.update(dict.fromkeys(unused, "a folder beside those that are used"))
                return _TRAIN, tested
        return "", None

    def classes(self, inside: str) -> dict[str, list[str]]:
        """The files of each class, relative to the root, in order, of the folders that are in `inside`."""
        found = {}
        for kind in self._entries(inside)[0]:
            folder = os.path.join(inside, kind)
            inner, pictures = self._entries(folder)
            deeper = [os.path.join(folder, name) for name in inner]
            self._left_out.update(dict.fromkeys(deeper, "a folder in that of a class"))
            found[kind] = [os.path.join(folder, name) for name in pictures]
        return found

    def left_out(self) -> str:
        """What is not read though it is not hidden, in one line; empty if there is nothing."""
        names: dict[str, list[str]] = {}
        for name, why in self._left_out.items():
            names.setdefault(why, []).append(name)
        said = [f"{n[0]}{f' and {len(n) - 1} more' if n[1:] else ''} ({why})" for why, n in names.items()]
        return f"Left out of {self.root}: {', '.join(said)}." if said else ""

    def _entries(self, inside: str) -> tuple[list[str], list[str]]:
        """The names of the folders and of the pictures in a folder of the tree."""
        folders, pictures = [], []
        try:
            entries = sorted(os.scandir(self.root / inside), key=lambda entry: entry.name)
        except OSError as e:
            raise DataError("name", f"{self.root / inside} cannot be read: {e.strerror}.") from e
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _SYSTEM:
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif is_picture(Path(entry.name)):
                pictures.append(entry.name)
            else:
                self._left_out[os.path.join(inside, entry.name)] = "no picture by its name"
        return folders, pictures


def _require_classes(
    root: Path, inside: str, train: Mapping[str, list[str]], tested: str | None, test: Mapping[str, list[str]]
) -> None:
    """Raises a DataError unless there are classes, of each at least as many pictures as are needed.

    Args:
        root: the folder of the data set.
        inside: the folder in it that has the classes to train on.
        train: the files of each class in `inside`.
        tested: the folder that has the classes to evaluate on, if there is one.
        test: the files of each class in `tested`.
    """
    folder = root / inside
    if len(train) == 1:
        raise DataError("name", f"{folder} has a folder for one class only, {next(iter(train))}: two are the least.")
    if empty := [kind for kind, files in train.items() if not files]:
        more = f", nor have {len(empty) - 1} more" if len(empty) > 1 else ""
        raise DataError("name", f"{folder / empty[0]} has no pictures right in it{more}.")
    if tested is None:
        if few := [kind for kind, files in train.items() if len(files) < 2]:
            raise DataError(
                "name",
                f"{folder / few[0]} has a single picture: each class needs two, one to train and one to evaluate on.",
            )
        return
    if unknown := [kind for kind, files in test.items() if files and kind not in train]:
        raise DataError("name", f"{root / tested / unknown[0]} is a class of which {folder} has no folder.")
    if not any(test.values()):
        raise DataError("name", f"{root / tested} has no pictures in folders of classes.")


def _divided(examples: list[_Example], inside: str, fraction: float) -> tuple[list[_Example], list[_Example]]:
    """Sets a fraction of each class aside: returns the others, and those."""
    keys = [os.fsencode(Path(file).relative_to(inside).as_posix()) for file, _ in examples]
    chosen = held_out([label for _, label in examples], keys, fraction)
    kept, aside = ([e for e, c in zip(examples, chosen, strict=True) if c == part] for part in (False, True))
    return kept, aside
