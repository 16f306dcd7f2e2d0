"""Checks: look at what was read, and say what is assumed of it or warn of what may be wrong."""
