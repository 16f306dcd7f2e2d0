"""The conditions of `--where`: a small SQL grammar of its own, which can read nothing but the catalogue's columns."""
