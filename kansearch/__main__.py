"""`python -m kansearch`."""

from kansearch.cli import main

if __name__ == "__main__":
    main()
