"""Runs mutated copies of a model: `python mutate.py model.tflite seed count`. A crash is the caller's to notice."""

import sys

import numpy as np

from bduo_runtime import Interpreter, ModelError
from bduo_runtime._operators import random_inputs


def main(path: str, seed: int, count: int) -> None:
    with open(path, "rb") as file:
        original = np.frombuffer(file.read(), np.uint8)
    rng = np.random.default_rng(seed)
    accepted = 0
    for _ in range(count):
        data = original.copy()
        places = rng.integers(8, len(data), rng.integers(1, 6))
        data[places] = rng.choice([0, 1, 2, 127, 128, 255, *rng.integers(0, 256, 6)], len(places))
        try:
            interpreter = Interpreter(data.tobytes())
            if sum(int(np.prod(s)) for s in interpreter.input_shapes) < 1 << 20:
                arrays = random_inputs(interpreter)
                interpreter.predict(arrays if len(arrays) > 1 else arrays[0])
            accepted += 1
        except (ModelError, ValueError, RuntimeError, TypeError, MemoryError, OverflowError):
            pass
    print(accepted, "of", count, "ran")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
