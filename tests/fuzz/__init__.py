"""Fuzzing of what reads bytes from others: each target raises only when it finds a bug.

`make fuzz` runs the targets under Atheris, guided by coverage; every build runs a few hundred
examples of each, and all that fuzzing ever found.
"""
