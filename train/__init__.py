"""The command `python -m train` and its recipes. Installed, this is the package `bduo_train`, the command `bduo-train`.

What the command does is in `bduo_tf.training`. Imports within this folder are relative, since it has two names.
"""
