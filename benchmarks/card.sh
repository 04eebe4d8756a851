#!/usr/bin/env bash
# Ten minutes of a GPU: benchmarks/card.sh [FOLDER]
#
# Runs the checks and measurements of docs/gpu.md, in an environment that has minissm, CuPy and pytest, and for comparison
# torch and JAX. Each part writes its file into FOLDER (default: card-DATE-TIME) before the next one begins. A part that
# fails, or is cut at its limit, doesn't stop the others.
#
# Exit codes: 0 every part passed; 1 a part failed or was cut; 2 no part was run.
# PYTHON: the interpreter. Default: python.  LIMIT: seconds for each part, in place of its own, for a trial.
# shellcheck disable=SC2329  # functions are exported for `part`
set -uo pipefail

refuse() {
    echo "card.sh: $1" >&2
    exit 2
}
found=$(command -v "${PYTHON:-python}") || refuse "${PYTHON:-python} is not there; set PYTHON to the interpreter"
python=$(realpath --no-symlinks "$found") # a venv's is a link
folder=$(realpath --canonicalize-missing "${1:-card-$(date +%Y-%m-%d-%H%M)}")
cd "$(dirname "$0")/.." || refuse "the clone is not there"
mkdir "$folder" || refuse "give a folder that is new"
failed=0

part() { # number, name, limit in seconds, command
    local name=$2 limit=${LIMIT:-$3} code=0 outcome=passed
    echo "== $name, at most $limit s"
    # at its limit it gets Ctrl-C, so that a report ends whole, and five seconds later it is killed
    timeout --signal=INT --kill-after=5 "$limit" bash -c "$4" >"$folder/$1-$name.txt" 2>&1 || code=$?
    case $code in
        0) ;;
        124 | 137) outcome="was cut after $limit s" failed=1 ;;
        *) outcome="failed with exit code $code" failed=1 ;;
    esac
    echo "$name $outcome" >>"$folder/summary.txt"
}

gpu() { # without a GPU, pytest would skip its tests, and minissm bench would measure the processor
    "$python" -c "from minissm.backend import cupy; cupy()"
}
environment() {
    local code=0
    nvidia-smi || code=1
    "$python" -m minissm info || code=1
    gpu || code=1
    return "$code"
}
tests() { gpu && exec "$python" -m pytest -m gpu; }
measure() {
    exec "$python" -m benchmarks --backend cupy --quick --only linear,training --json "$folder/benchmarks.json"
}
steps() { exec "$python" -m benchmarks.harness.parts --backend cupy; }
crossover() { gpu && exec "$python" -m minissm bench --out "$folder/crossover.png"; }
export -f gpu environment tests measure steps crossover
export python folder

part 1 environment 25 environment
part 2 tests 150 tests
part 3 benchmarks 240 measure
part 4 parts 45 steps
part 5 crossover 110 crossover

echo
cat "$folder/summary.txt"
echo "The files are in $folder"
exit "$failed"
