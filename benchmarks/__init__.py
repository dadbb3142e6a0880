"""Side-by-side measurements, one script a question. Imports convert and data; nothing imports it."""

import sys

import bduo_terminal

# Python's own name for the command while `python -m benchmarks.latency` is looked up, which then imports TensorFlow.
if sys.argv[0] == "-m":
    bduo_terminal.hide_others(sys.argv[1:])
