"""Faults on real processes, with every call recorded and judged."""
