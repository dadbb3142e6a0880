"""Side-by-side measurements, one script for each question. Nothing imports this package."""

import sys

import bduo_terminal

# While Python looks up `python -m benchmarks.latency`, it calls the command "-m". After that TensorFlow is imported.
if sys.argv[0] == "-m":
    bduo_terminal.hide_others(sys.argv[1:])
