"""What the user types to start a command, for messages that name one."""

from pathlib import Path

__all__ = ["program"]

_CHECKOUT = (Path(__file__).parents[1] / "pyproject.toml").exists()


def program(command: str) -> str:
    """What the user types for a command: `python -m train` in a checkout, `bduo-train` with the package installed.

    Args:
        command: "train" or "convert".
    """
    return f"python -m {command}" if _CHECKOUT else f"bduo-{command}"
