"""The command run: classifies images that are named, come into a folder, or are frames of a camera or a video."""

import argparse
import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bduo_runtime import _camera, _scores
from bduo_runtime._errors import ModelError
from bduo_runtime._interpreter import Interpreter
from bduo_runtime._messages import UsageError, complain
from bduo_runtime._metadata import Metadata, MetadataError, parse_labels
from bduo_runtime._pictures import pictures
from bduo_runtime._results import Results
from bduo_runtime._source import Source
from bduo_runtime._watch import watch

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser, count: Any) -> None:
    """Adds the options of the command run.

    Args:
        parser: the command's parser, which knows the options of all commands on models already.
        count: the type of an option that is a positive number.
    """
    images = parser.add_argument("images", nargs="+", metavar="image", help="picture files, or arrays in .npy files")
    images.required = False  # `run` sees to it; with nargs="*" none could stand behind another option
    streams = parser.add_mutually_exclusive_group()
    streams.add_argument("--watch", metavar="FOLDER", help="the pictures in a folder and each that comes, until Ctrl+C")
    streams.add_argument(
        "--camera", metavar="NUMBER", help="the newest frame of a camera, again and again, until Ctrl+C"
    )
    streams.add_argument("--video", metavar="FILE", help="every frame of a video; both need bduo-runtime[camera]")
    parser.add_argument("--show", action="store_true", help="show the frames in a window, too; q ends it")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each image")
    parser.add_argument("--labels", help="text file, one class a line; default: the model's own")
    parser.add_argument("--top", type=count, default=5, help="classes to show, default 5; of frames, in JSON only")
    parser.add_argument(
        "--range", nargs=2, type=float, metavar=("BLACK", "WHITE"), dest="limits",
        help="what the model takes black and white for; default: as it says itself, else -1 1",
    )  # fmt: skip
    parser.add_argument(
        "--scores", choices=_scores.KINDS, metavar="KIND",
        help=f"what the model gives: {', '.join(_scores.KINDS)}; default: as it says itself, else guessed",
    )  # fmt: skip
    parser.set_defaults(command=run, usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Runs the command run; returns its exit code."""
    if not args.images and not (args.watch or args.camera or args.video):
        args.usage_error("give images, --watch, --camera or --video")
    if args.images and (args.watch or args.camera or args.video):
        args.usage_error("give either images or one of --watch, --camera and --video")
    if args.show and not (args.camera or args.video):
        args.usage_error("--show goes with --camera and --video")
    interpreter = Interpreter(args.model, args.threads)
    interpreter.metadata = _metadata(args, interpreter)
    window = _camera.Window() if args.show else None
    return classify(interpreter, _source(args), args.json, args.top, window)


def classify(
    interpreter: Interpreter, source: Source, as_json: bool, top: int, window: _camera.Window | None = None
) -> int:
    """Classifies all that a source gives and shows the results.

    Args:
        interpreter: the model.
        source: the images.
        as_json: whether results are lines of JSON.
        top: the number of classes to show.
        window: where to show the images as well.

    Returns:
        The exit code: 0; 1 if an image that was named, or a frame, could not be read. A damaged picture in a folder
        that is watched leaves it 0.

    Raises:
        KeyboardInterrupt: the user interrupted a source that has an end of its own.
        UsageError: the source can give no more.
    """
    results = Results(source, as_json)
    code = 0
    ended: KeyboardInterrupt | UsageError | None = None
    with contextlib.closing(source.images) as images:
        try:
            for image in images:
                try:
                    pixels = image.read()
                except (UsageError, OSError) as e:  # the other images may be good
                    results.fail()
                    failed = complain(e)
                    code = code if source.endless else failed
                    continue
                if pixels is None:
                    continue
                inputs = interpreter.preprocess(pixels)
                start = time.perf_counter()
                outputs = interpreter.predict(inputs)
                milliseconds = 1e3 * (time.perf_counter() - start)
                ranking = interpreter.rank(outputs, top)
                results.add(image, milliseconds, ranking)
                if window and not window.draw(pixels, f"{ranking[0].label} {ranking[0].probability:.0%}"):
                    break
        except (KeyboardInterrupt, UsageError) as e:
            ended = e
    results.end(broken=isinstance(ended, UsageError))
    if ended and not (source.endless and isinstance(ended, KeyboardInterrupt)):
        raise ended
    return code


def _source(args: argparse.Namespace) -> Source:
    """What the options ask to classify."""
    if args.watch:
        return Source(watch(args.watch), "picture")
    if args.camera:
        return Source(_camera.camera(args.camera), "frame", brief=True)
    if args.video:
        return Source(_camera.video(args.video), "frame", endless=False, brief=True)
    return Source(pictures(args.images), "image", stream=False, endless=False)


def _metadata(args: argparse.Namespace, interpreter: Interpreter) -> Metadata:
    """The model's metadata with the changes that the options ask for.

    If the model's metadata are malformed, the options --labels and --range together can replace them.
    """
    try:
        known = interpreter.metadata
    except ModelError:
        if not (args.labels and args.limits):
            raise
        known = Metadata()
    if args.scores:
        known = replace(known, outputs=(args.scores,))
    if args.labels:
        try:
            known = replace(known, labels=parse_labels(Path(args.labels).read_bytes()))
        except MetadataError as e:
            raise UsageError(f"--labels: {args.labels} {e}") from None
    if args.limits:
        try:
            known = known.with_range(*args.limits)
        except MetadataError as e:
            raise UsageError(f"--range: {e}") from None
    return known
