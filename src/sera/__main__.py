"""`python -m sera` is `sera`."""

from sera.cli import main

if __name__ == "__main__":
    main()
