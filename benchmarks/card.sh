#!/usr/bin/env bash
# Ten minutes of a GPU: benchmarks/card.sh [FOLDER]
#
# Runs the checks and measurements of docs/gpu.md. The environment needs minissm, CuPy and pytest, and torch and JAX for
# the comparison. Each part writes its file into FOLDER (default: card-DATE-TIME) before the next part begins. A part that
# fails, or reaches its time limit, doesn't stop the others.
#
# Exit codes: 0 all parts passed; 1 a part failed or reached its limit; 2 no part was run.
# PYTHON: the interpreter. Default: python.  LIMIT: seconds for each part, instead of its own limit, for a trial.
# shellcheck disable=SC2329  # functions are exported for `part`
set -uo pipefail

refuse() {
    echo "card.sh: $1" >&2
    exit 2
}
found=$(command -v "${PYTHON:-python}") || refuse "${PYTHON:-python} not found; set PYTHON to the interpreter"
python=$(realpath --no-symlinks "$found") # in a venv it is a link
folder=$(realpath --canonicalize-missing "${1:-card-$(date +%Y-%m-%d-%H%M)}")
cd "$(dirname "$0")/.." || refuse "the repository is not found"
mkdir "$folder" || refuse "can't make $folder; give a folder that does not exist"
failed=0

part() { # number, name, limit in seconds, command
    local name=$2 limit=${LIMIT:-$3} code=0 outcome=passed
    echo "== $name, at most $limit s"
    # at its limit a part gets Ctrl-C, so that its report is complete; five seconds later it is killed
    timeout --signal=INT --kill-after=5 "$limit" bash -c "$4" >"$folder/$1-$name.txt" 2>&1 || code=$?
    case $code in
        0) ;;
        124 | 137) outcome="was stopped after $limit s" failed=1 ;;
        *) outcome="failed with exit code $code" failed=1 ;;
    esac
    echo "$name $outcome" >>"$folder/summary.txt"
}

gpu() { # without a GPU, pytest would skip the tests, and minissm bench would measure the processor
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
