"""`python -m cnnlab`: the lab without a browser."""

import sys

from cnnlab.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
