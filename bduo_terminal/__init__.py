"""What the commands show: their own lines, and what other packages write only on request. Imports no TensorFlow.

It is a package of its own because importing `bduo_tf` imports TensorFlow, whose output must be hidden already then.
"""

from bduo_terminal._descriptor import set_aside
from bduo_terminal._hiding import add_verbose, hide_others
from bduo_terminal._program import program

__all__ = ["add_verbose", "hide_others", "program", "set_aside"]
