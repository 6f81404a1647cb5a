"""Unit tests of cluster.live."""
