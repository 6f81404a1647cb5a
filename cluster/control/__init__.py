"""Control loops: pure decisions and the thin shells that carry them out."""
