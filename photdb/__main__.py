"""`python -m photdb` is `photdb`: interrupted politely from the first line on, also while everything is imported."""

from photdb.interruptions import heed


def main() -> None:
    """Run the command line."""
    heed()
    from photdb.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
