"""Routes: one module a noun, each with a `blueprint`."""
