#!/bin/bash
# Usage: run.sh BUILD WORK: installs BUILD under WORK, builds the consumer against it, runs it.
set -euo pipefail
build=$(cd "$1" && pwd)
work=$2
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rm -rf "$work"
cmake --install "$build" --prefix "$work/prefix" >/dev/null
# The installed copy must not lean on the build or source tree.
if grep -rlF -e "$build" "$work/prefix/lib/cmake" "$work/prefix/include"; then
  echo "the files above mention the build folder" >&2
  exit 1
fi
cmake -G Ninja -S "$source" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_CXX_COMPILER=clang++-22 -DCMAKE_C_COMPILER=clang-22 >"$work/log"
cmake --build "$work/build" >>"$work/log" || { cat "$work/log"; exit 1; }
"$work/build/runtime-consumer"
"$work/build/compiler-consumer"
"$work/prefix/bin/attune" --version
