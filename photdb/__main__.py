"""`python -m photdb` is `photdb`."""

from photdb.cli import main

main()
