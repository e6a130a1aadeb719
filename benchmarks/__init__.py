"""How fast the library is, side by side with others; run by ``nox -s bench``."""
