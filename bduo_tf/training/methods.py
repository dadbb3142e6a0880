"""The ways to train a network: BinaryDuo and what it is compared with. Each is one row of the table `METHODS`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bduo_tf.runs import Recipe, Settings

__all__ = ["METHODS", "Method", "Stage", "applied", "stages"]


@dataclass(frozen=True)
class Method:
    """A way to train a network. `bduo_tf.training.building` builds the network that it starts from.

    Attributes:
        title: what tables call it.
        form: the form of the network, as in `bduo_tf.networks`.
        decoupled: when the network is decoupled: "never", "at once" (before any training), or "between" two stages.
        fine_tuned: whether there is a second stage.
        recipe: fields of the recipe that make the method what it is, and that no option may change.
        activation: Larq's quantizer of the activations, for networks of Larq's own quantizers; None for those of
            `bduo_tf`. The recipe's `gradient`, `per_channel` and `float_weights` do not apply to such networks.
    """

    title: str
    form: Literal["coupled", "baseline", "float"] = "baseline"
    decoupled: Literal["never", "at once", "between"] = "never"
    fine_tuned: bool = False
    recipe: Mapping[str, Any] = field(default_factory=dict)
    activation: str | None = None

    @property
    def of_any_network(self) -> bool:
        """Whether the method goes with a network of the user's own: it is trained as it is, or as `couple` makes it."""
        return self.form != "float" and self.activation is None and set(self.recipe) <= {"levels"}


def _duo(title: str, **recipe: Any) -> Method:
    return Method(title, "coupled", "between", fine_tuned=True, recipe=recipe)


def _scratch(title: str, **recipe: Any) -> Method:
    return Method(title, "coupled", "at once", recipe=recipe)


def _larq(title: str, activation: str) -> Method:
    plain = Recipe()
    recipe = {name: getattr(plain, name) for name in ("gradient", "per_channel", "float_weights")}
    return Method(title, recipe=recipe, activation=activation)


METHODS: dict[str, Method] = {
    "duo": _duo("BinaryDuo, coupled pairs"),
    "duo3": _duo("BinaryDuo, coupled triples", levels=3),
    "baseline": Method("binary step"),
    "restarted": Method("binary step, restarted as BinaryDuo is", fine_tuned=True),
    "scratch": _scratch("BinaryDuo's decoupled network from scratch"),
    "scratch3": _scratch("the same, decoupled from triples", levels=3),
    "coupled": Method("coupled alone (half the weights, ternary)", "coupled"),
    "duo_xnor": _duo("BinaryDuo, a scale a channel", per_channel=True),
    "scratch_xnor": _scratch("BinaryDuo's decoupled network from scratch, a scale a channel", per_channel=True),
    "xnor": Method("binary step, a scale a channel (XNOR-Net)", recipe={"per_channel": True}),
    "ste_sign": _larq("Larq, ste_sign", "ste_sign"),
    "approx_sign": _larq("Larq, approx_sign (Bi-Real Net)", "approx_sign"),
    "swish_sign": _larq("Larq, swish_sign (BNN+)", "swish_sign"),
    "dorefa": _larq("DoReFa, one bit", "dorefa"),
    "float": Method("float", "float"),
    "duo_float_weights": _duo("BinaryDuo, float weights", float_weights=True),
    "baseline_float_weights": Method("binary step, float weights", recipe={"float_weights": True}),
}
"""All methods by name."""


def applied(method: str, recipe: Recipe) -> Recipe:
    """The recipe with what the method settles."""
    return replace(recipe, **METHODS[method].recipe)


@dataclass(frozen=True)
class Stage:
    """One `model.fit`.

    Attributes:
        name: of the model that it leaves.
        epochs: number of epochs.
        learning_rate: at the start of the schedule.
        drops: fractions of the schedule after which the rate is multiplied by 0.1; empty for a cosine to 0.
        before: number of epochs of the schedule that other stages have done before.
        after: number of epochs of the schedule that are left to other stages.
        teacher: the name of the model whose answers are part of the labels; None for the labels alone.
    """

    name: str
    epochs: int
    learning_rate: float
    drops: tuple[float, ...] = ()
    before: int = 0
    after: int = 0
    teacher: str | None = None


def stages(settings: Settings) -> tuple[Stage, ...]:
    """What a run trains, in order.

    The model of a method's only stage has the method's name; of two stages the first has the name of the network's
    form, and the second is "fine_tuned".
    """
    r, method = settings.recipe, METHODS[settings.method]
    if not method.fine_tuned:
        return (Stage(settings.method, r.epochs + r.fine_tune_epochs, r.learning_rate, r.drops),)
    continued = r.schedule == "continued"
    return (
        Stage(
            method.form,
            r.epochs,
            r.learning_rate,
            r.drops,
            after=r.fine_tune_epochs if continued else 0,
        ),
        Stage(
            "fine_tuned",
            r.fine_tune_epochs,
            r.fine_tune_learning_rate,
            r.drops if r.fine_tune_drops is None else r.fine_tune_drops,
            before=r.epochs if continued else 0,
            teacher=method.form if r.transfer else None,
        ),
    )
