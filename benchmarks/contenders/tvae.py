"""The TVAE of ctgan (the one in SDV) on a CSV file: ``tvae.py FILE EPOCHS BATCH``. PyTorch's Python."""

import json
import resource
import sys
import time
import warnings

import pandas as pd
from ctgan import TVAE
from pandas.api.types import is_numeric_dtype

warnings.filterwarnings("ignore")


def main() -> None:
    """Time two fits, of one epoch and of more: their difference is that of the epochs."""
    path, epochs, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    frame = pd.read_csv(path, skipinitialspace=True)
    discrete = [name for name in frame if not is_numeric_dtype(frame[name])]
    seconds, cpu = [], []
    for count in (1, 1 + epochs):
        start, start_cpu = time.perf_counter(), time.process_time()
        TVAE(epochs=count, batch_size=batch, enable_gpu=False).fit(frame, discrete)
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    each = {"epoch": (seconds[1] - seconds[0]) / epochs, "epoch cpu": (cpu[1] - cpu[0]) / epochs}
    print(json.dumps({"start": seconds[0], "start cpu": cpu[0], "peak": peak} | each))


if __name__ == "__main__":
    main()
