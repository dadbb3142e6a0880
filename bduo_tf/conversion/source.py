"""What is to be converted: the folder of a training run, a file or folder with a Keras model, or a function."""

from dataclasses import dataclass, field
from pathlib import Path

from bduo_tf import user_code
from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.loading import call_function, is_saved_model, load_model
from bduo_tf.runs import RunConfig, RunError, RunFolder

__all__ = ["Source", "open_source"]


@dataclass(frozen=True)
class Source:
    """A model and what is known of it.

    Attributes:
        path: the file, or the folder of a SavedModel. A model that a function made has a file of the function's name.
        model: the model.
        config: the training run that the model is from; None for a file alone.
    """

    path: Path
    model: keras.Model = field(repr=False)
    config: RunConfig | None = field(default=None, repr=False)


def open_source(path: Path, *, unsafe: bool = False) -> Source:
    """Loads the model to deploy from a run folder, or the one in a file, or the one that a function makes.

    Args:
        path: a run folder, what `load_model` takes, or package.module:function.
        unsafe: whether Python code in the file may be run.

    Raises:
        ConversionError: there is no such file, the run is not finished, or the file is not a Keras model.
    """
    if not path.exists():
        if (model := call_function(str(path))) is not None:
            return Source(Path(f"{str(path).partition(':')[2]}.keras"), model)
        raise ConversionError(f"{path} does not exist. Give the folder of a training run, or a .keras file.")
    if not path.is_dir() or is_saved_model(path):
        return Source(path, load_model(path, unsafe=unsafe))
    run = RunFolder(path)
    try:
        config, file = run.config(), run.final()
    except RunError as error:
        raise ConversionError(str(error)) from error
    return Source(file, _load_of_run(file, config.settings.network, unsafe), config)


def _load_of_run(file: Path, network: str, unsafe: bool) -> keras.Model:
    """Loads a model of a run, whose layers may be of the module that the user named as the network at training.

    That module is imported only if the file cannot be loaded without it.
    """
    try:
        return load_model(file, unsafe=unsafe)
    except ConversionError as error:
        if not user_code.names_function(network):
            raise
        try:
            user_code.import_module_of(network, f"{error} The run trained {network}")
        except user_code.UserCodeError as missing:
            raise ConversionError(f"{missing}. Convert in the folder that has it, or --import another.") from missing
        return load_model(file, unsafe=unsafe)
