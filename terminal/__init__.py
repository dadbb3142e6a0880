"""What the commands show: their own lines, and what other packages write only on request. Imports no TensorFlow."""

from terminal._hiding import add_verbose, hide_others

__all__ = ["add_verbose", "hide_others"]
