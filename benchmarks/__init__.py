"""Side-by-side measurements, one script a question. Imports convert and data; nothing imports it."""

import sys

import terminal

# Python's own name for the command while `python -m benchmarks.latency` is looked up, which then imports TensorFlow.
if sys.argv[0] == "-m":
    terminal.hide_others(sys.argv[1:])
