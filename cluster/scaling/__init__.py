"""Autoscaling without I/O: samples go in, decisions come out.

`Window` holds what was measured, `decide` says how many replicas and why, `Past.after` is what
the next decision must know of this one, `bounds` are the limits of the hour, `explain` puts a
decision into words and `replay` runs a policy over a recording.
"""
