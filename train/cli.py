"""The command line of training: options become settings, settings a run, and errors one line each."""

import contextlib
import sys
from collections.abc import Iterator, Sequence

from bduo_terminal import program
from bduo_tf import data, user_code
from bduo_tf.backend import keras
from bduo_tf.page import subtitle, title, training_sections, write_page
from bduo_tf.runs import Metrics, Recipe, RunConfig, RunError, RunFolder, Settings
from bduo_tf.training.building import network
from bduo_tf.training.callbacks import DivergenceError
from bduo_tf.training.distribution import Distribution, distribution
from bduo_tf.training.errors import OptionError, failure
from bduo_tf.training.evaluation import evaluated
from bduo_tf.training.initial import Donor, open_donor
from bduo_tf.training.methods import METHODS, stages
from bduo_tf.training.report import draw_curves, table
from bduo_tf.training.stages import Training, be_deterministic, begin_from, disk_estimate, run_stages

from .options import option, parser, recipe_of, require_applicable
from .recipes import find

__all__ = ["main", "parse"]

_PROGRAM = program("train")


def main(argv: Sequence[str] | None = None) -> int:
    """Train, or continue to train, one network.

    Args:
        argv: the arguments; None takes them from the command line.

    Returns:
        0 when the run is complete, 1 when it stopped (it diverged, the disk is full, an image cannot be read,
        another worker is gone), 2 when an option cannot be honoured, 130 when it was interrupted.
    """
    try:
        settings, run, strategy = parse(argv)
        return _run(settings, run, distribution(strategy, settings.recipe.batch_size))
    except SystemExit as e:  # argparse's
        return int(e.code or 0)
    except data.DataError as e:
        print(f"{_PROGRAM}: error: {option(e.argument)}: {e}", file=sys.stderr)
        return 2
    except RunError as e:
        print(f"{_PROGRAM}: error: {option(e.setting)}: {e}", file=sys.stderr)
        return 2
    except OptionError as e:
        print(f"{_PROGRAM}: error: {e}", file=sys.stderr)
        return 2
    except DivergenceError as e:
        print(
            f"{_PROGRAM}: error: {e}. Training stopped; the last good epoch is kept in {run.backups}. "
            "Try a lower --learning-rate (in the second stage --fine-tune-learning-rate) and another --run.",
            file=sys.stderr,
        )
        return 1
    except Exception as e:
        if (reason := failure(e)) is None:
            raise
        print(
            f"{_PROGRAM}: error: {reason}. Once that is cured the same command (of all workers) continues from "
            "the last whole epoch.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(f"\n{_PROGRAM}: interrupted. The same command continues from the last whole epoch.", file=sys.stderr)
        return 130


def parse(argv: Sequence[str] | None = None) -> tuple[Settings, RunFolder, str]:
    """The run that a command line stands for, its folder and its strategy, without starting it.

    Raises:
        OptionError: options contradict each other.
        DataError: the data set cannot be of that name.
        SystemExit: argparse refuses them.
    """
    args = parser().parse_args(argv)
    dataset = data.absolute_name(args.dataset)
    recipe = recipe_of(args, args.method, find(args.network, dataset))
    require_applicable(args)
    if args.strategy != "none":
        _require_distributable(recipe)
    settings = Settings(
        network=args.network,
        dataset=dataset,
        method=args.method,
        data_dir=None if args.data_dir is None else str(args.data_dir.expanduser().absolute()),
        seed=args.seed,
        validation=args.validation,
        recipe=recipe,
        init=None if args.init is None else str(args.init.expanduser().absolute()),
    )
    return settings, RunFolder(args.run), args.strategy


def _require_distributable(recipe: Recipe) -> None:
    """Raises OptionError for what only one device trains."""
    for name, used in {"bop": recipe.optimizer == "bop", "transfer": recipe.transfer, "norms": recipe.norms}.items():
        if used:
            where = "--optimizer" if name == "bop" else option(name)
            raise OptionError(where, f"{name} is for one device: leave out --strategy.")


def _run(settings: Settings, run: RunFolder, distribution: Distribution) -> int:
    run.prepare(settings)
    try:
        metrics = run.metrics()
        if metrics.final is None:
            metrics = _train(settings, run, distribution)
    except Exception:
        if distribution.chief and not any(run.path.iterdir()):
            run.path.rmdir()
        raise
    if not distribution.chief:
        return 0
    if not run.curves.exists():
        draw_curves(settings, run)
    if not run.page.exists():
        _write_page(settings, run)
    print(f"\n{table(metrics, validation=settings.validation > 0)}\n\nThe whole of it as a page: {run.page}\n")
    model = run.final()
    form = METHODS[settings.method].form
    if settings.recipe.float_weights and form != "float":
        print(f"The final model is {model}. It has float kernels, which cannot be deployed with binary activations.")
    elif METHODS[settings.method].decoupled == "never" and form == "coupled":
        print(f"The final model is {model}. It is coupled still: {program('convert')} {run.path} --decouple")
    else:
        print(f"The model to deploy is {model}. To convert it:\n  {program('convert')} {run.path}")
    return 0


def _write_page(settings: Settings, run: RunFolder) -> None:
    """Writes the report of a finished run."""
    if run.evaluation() is None:  # the run ended before that, or was written by an earlier version
        if user_code.names_function(settings.network):  # whose layers the file may need
            user_code.import_module_of(settings.network)
        _evaluate(settings, run, _load(settings))
    config = run.config()
    write_page(run.page, title(config), subtitle(config), training_sections(run))


def _evaluate(settings: Settings, run: RunFolder, dataset: data.Dataset) -> None:
    """Records what the final model does to the test images."""
    model = keras.models.load_model(run.final(), compile=False)
    run.write_evaluation(evaluated(model, dataset, settings.recipe.batch_size))


def _load(settings: Settings) -> data.Dataset:
    return data.load(settings.dataset, settings.recipe.image_size, settings.data_dir, validation=settings.validation)


def _train(settings: Settings, run: RunFolder, distribution: Distribution) -> Metrics:
    be_deterministic(settings.seed)
    donor = _donor(settings, run)
    dataset = _load(settings)
    if dataset.remark:
        distribution.say(dataset.remark)
    distribution.require_images(dataset, settings.recipe.batch_size)
    training = Training(settings, dataset, run, distribution)
    if settings.init is not None and donor is None:
        model = training.load_initial()
    else:
        weighed = donor.made_for if donor else None
        with _refusing_networks():
            model = network(settings, dataset.input_shape, len(dataset.class_names), weighed)()
    run.require_space(disk_estimate(model))
    if distribution.chief:
        run.write_config(
            RunConfig(
                settings=settings,
                input_shape=dataset.input_shape,
                class_names=dataset.class_names,
                fit=dataset.fit,
                scaling=dataset.scaling,
                num_train=dataset.num_train,
                num_test=dataset.num_test,
                test_split=dataset.test_split,
                stages=tuple(stage.name for stage in stages(settings)),
            )
        )
    distribution.say(
        f"{settings.network} ({model.count_params():,} parameters) on {settings.dataset}: "
        f"{dataset.num_train} training images, {dataset.num_test} to evaluate on, {dataset.input_shape}"
        + (f"; {distribution.replicas} replicas" if distribution.replicas > 1 else "")
    )
    if donor is not None:
        begin_from(training, donor, model)
    metrics = run_stages(training)
    if distribution.chief:
        _evaluate(settings, run, dataset)
    return metrics


def _donor(settings: Settings, run: RunFolder) -> Donor | None:
    """What the weights are taken from; None if that was done before, or is not asked for."""
    if settings.init is None or run.initial.exists():
        return None
    with _refusing_networks():
        return open_donor(settings)


@contextlib.contextmanager
def _refusing_networks() -> Iterator[None]:
    """Turns the error of a network that cannot be built into one that names the option."""
    try:
        yield
    except OptionError:
        raise
    except ValueError as e:
        raise OptionError("--width" if str(e).startswith("duo_widths") else "--image-size", str(e)) from e
