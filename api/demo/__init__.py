"""Demo: a tiny web application that tells which replica answered."""
