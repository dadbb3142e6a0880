"""What a finished run shows: its curves and its table of results."""

from bduo_tf.files import replacing
from bduo_tf.runs import Metrics, RunFolder, Settings
from bduo_tf.training.methods import METHODS, stages

__all__ = ["draw_curves", "table"]


def draw_curves(settings: Settings, run: RunFolder) -> None:
    """Write curves.png: accuracy and loss over the epochs of all stages."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    test = "validation" if settings.validation else "test"
    between = "decoupled" if METHODS[settings.method].decoupled == "between" else "restarted"
    for axes, quantity in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        before = 0
        for number, stage in enumerate(stages(settings)):
            rows = run.epochs(stage.name)
            epochs = [before + row["epoch"] + 1 for row in rows]
            for key, label, style in ((quantity, "train", "C0--"), (f"val_{quantity}", test, "C1-")):
                axes.plot(epochs, [row[key] for row in rows], style, label=None if number else label, marker=".")
            if number:
                axes.axvline(before + 0.5, color="grey", linestyle=":", label=between)
            before += stage.epochs
        axes.set(xlabel="epoch", ylabel=quantity)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(f"{settings.network} on {settings.dataset}, {settings.method}, seed {settings.seed}")
    with replacing(run.curves) as temporary:
        figure.savefig(temporary, dpi=120)


def table(metrics: Metrics, *, validation: bool = False) -> str:
    """The results as lines of text, one for each model."""
    images = "validation" if validation else "test"
    lines = [f"{'model':<12} {images + ' accuracy':>19} {'loss':>8} {'epochs':>7} {'seconds':>8}"]
    for name, values in metrics.models.items():
        epochs, seconds = ("-" if v is None else v for v in (values.epochs, values.seconds))
        lines.append(f"{name:<12} {values.accuracy:>18.2%} {values.loss:>9.4f} {epochs:>7} {seconds:>8}")
    return "\n".join(lines)
