"""The command `python -m convert`. Installed, this is the package `bduo_convert`, the command `bduo-convert`.

What the command does is in `bduo_tf.conversion`. Imports within this folder are relative, since it has two names.
"""
