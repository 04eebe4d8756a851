#!/usr/bin/env bash
# Gradescope runs this as root, once, when it builds the image.
set -euo pipefail
umask 022
export DEBIAN_FRONTEND=noninteractive

apt-get update
apt-get install -y --no-install-recommends bubblewrap libseccomp2
for version in 3.13 3.12 3.11; do # the newest that the image knows: Ubuntu 22.04 has 3.11, 24.04 has 3.12
    apt-get install -y --no-install-recommends "python$version" "python$version-venv" && break
done

# NumPy is all that the grader needs: the version of the instructor's machine, or the newest before it for this Python.
"python$version" -m venv /opt/minissm
/opt/minissm/bin/pip install --no-cache-dir "numpy<=@NUMPY@"

chmod -R go= /autograder/source # solutions and secret; submissions run as another user
