"""Real clients against the real binary. See README.md beside this file."""
