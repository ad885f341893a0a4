import json
import pathlib
import sys

import pytest

from bench import bench_hlo_size, bench_transformations, residuals
from bench.report import chart, read, table

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results"
OPTIONS = [
    "--benchmark-only",
    "--benchmark-quiet",
    "--benchmark-disable-gc",
    "--benchmark-max-time=0.25",
    "--benchmark-warmup=on",
    "--benchmark-warmup-iterations=1000",
    "-o",
    "python_files=bench_*.py",
    "-o",
    "addopts=",
    "-p",
    "no:xdist",
    "-q",
]


def main():
    RESULTS.mkdir(exist_ok=True)
    data = RESULTS / "bench.json"
    data.unlink(missing_ok=True)
    status = pytest.main([*OPTIONS, f"--benchmark-json={data}", *(sys.argv[1:] or []), str(HERE)])
    if data.exists() and data.stat().st_size:
        cases = read(json.loads(data.read_text()))
        print("\n" + table(cases))
        print("\n" + bench_hlo_size.table(bench_hlo_size.sizes()))
        if not sys.argv[1:]:
            print("\n" + bench_transformations.report())
            print("\n" + residuals.table(residuals.measure()))
        chart(cases, RESULTS / "bench.png")
        print(f"\nchart: {RESULTS / 'bench.png'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
