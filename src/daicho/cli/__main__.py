"""`python -m daicho.cli`: the command line where the script is not on the path."""

from daicho.cli import main

main(prog_name="daicho")
