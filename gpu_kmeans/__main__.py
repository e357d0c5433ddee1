"""``python -m gpu_kmeans`` is the console command."""

import sys

from gpu_kmeans.cli import main

if __name__ == "__main__":
    sys.exit(main())
