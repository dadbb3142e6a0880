"""One inference between two calls of getppid, which tell icount.c what to count: `python invoke.py model.tflite`.

Runs on the emulated Raspberry Pi. Prints where code was loaded: lines of /proc/self/maps.
"""

import os
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import bduo_runtime


def main(path: str) -> None:
    with open(path, "rb") as file:
        binary = b"LceBconv2d" in file.read()
    if binary:
        interpreter = bduo_runtime.Interpreter(path).litert
    else:
        interpreter = Interpreter(path, num_threads=1)
        interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], rng.uniform(-1, 1, detail["shape"]).astype(detail["dtype"]))
    for _ in range(3):
        interpreter.invoke()
    os.getppid()
    interpreter.invoke()
    os.getppid()
    with open("/proc/self/maps") as maps:
        print("".join(line for line in maps if " r-x" in line))


if __name__ == "__main__":
    main(sys.argv[1])
