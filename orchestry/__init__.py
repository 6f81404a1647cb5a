"""Orchestry: the Python SDK and the words shared by SDK, controllers and API."""

__version__ = "1.0.0"

__all__ = ["__version__"]
