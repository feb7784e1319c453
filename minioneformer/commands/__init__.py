"""The commands of the command line, one function each: `cli.py` puts them together."""
