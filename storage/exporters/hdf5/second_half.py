"""Re-reads the second half of an aligned HDF5 export in a process of its own; gives the problems as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from storage.exporters.hdf5.validate import problems

if __name__ == "__main__":
    json.dump(list(problems(Path(sys.argv[1]), part=1, parts=2)), sys.stdout)
