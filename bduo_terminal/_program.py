"""How a user starts the commands, for messages that name one of them."""

from pathlib import Path

__all__ = ["program"]

_CHECKOUT = (Path(__file__).parents[1] / "pyproject.toml").exists()


def program(command: str) -> str:
    """Returns what one types for a command: `python -m train` in a checkout, `bduo-train` where it is installed.

    Args:
        command: "train" or "convert".
    """
    return f"python -m {command}" if _CHECKOUT else f"bduo-{command}"
