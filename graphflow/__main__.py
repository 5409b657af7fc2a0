"""`python -m graphflow` is the command `graphflow`."""

from graphflow.cli import main

if __name__ == "__main__":
    main()
