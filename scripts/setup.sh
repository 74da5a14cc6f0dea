#!/bin/bash
# Installs what the build, the tests and the benches need, and nothing that is there already:
# Debian packages (root or sudo), the ONNX C++ library (per-user cache), Python packages (.venv).
# Run it as often as you like; it takes well under a second when nothing is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

apt_packages=(
  ca-certificates ccache clang-22 clang-format-22 cmake git liblld-22-dev libbenchmark-dev
  libclang-rt-22-dev libgmock-dev libgtest-dev libmlir-22-dev libprotobuf-dev libzstd-dev lld-22
  llvm-22-dev llvm-22-tools make mlir-22-tools ninja-build nlohmann-json3-dev ocl-icd-libopencl1
  pocl-opencl-icd protobuf-compiler python3 python3-dev python3-venv zlib1g-dev
)
onnx_version=1.23.2
onnx_sha256=008cb0467b2bbee41448acc7da8b6f4e704624cb0d327a2d5adafc7ce19bc5b8
cache=$HOME/.cache/attune
onnx_prefix=$cache/onnx-$onnx_version

say() { echo "setup: $*"; }

die() {
  echo "setup: $*" >&2
  exit 1
}

missing_packages() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${apt_packages[@]}" 2>/dev/null |
    sed -n 's/^installed //p' || true)
  comm -13 <(sort -u <<<"$installed") <(printf '%s\n' "${apt_packages[@]}" | sort -u)
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root or sudo for: $*"
  fi
}

install_apt() {
  local missing
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get >/dev/null || die "needs Debian 12 (apt-get), or by hand: ${missing[*]}"
  say "installing Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
}

# The list is copied last: a run that was broken off starts again.
install_python() {
  local stamp=.venv/attune-requirements.txt
  cmp -s scripts/requirements.txt $stamp && return
  say "installing Python packages into .venv"
  [ -x .venv/bin/python ] || /usr/bin/python3 -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps -r scripts/requirements.txt
  cp scripts/requirements.txt $stamp
}

build_onnx() {
  cmake -G Ninja -S "$1/onnx-$onnx_version" -B "$1/build" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_C_COMPILER=clang-22 -DCMAKE_CXX_COMPILER=clang++-22 \
    -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DBUILD_SHARED_LIBS=OFF -DONNX_BUILD_PYTHON=OFF \
    -DONNX_USE_PROTOBUF_SHARED_LIBS=ON -DPython3_EXECUTABLE=/usr/bin/python3 \
    -DCMAKE_INSTALL_PREFIX="$1/install" &&
    cmake --build "$1/build" &&
    cmake --install "$1/build"
}

install_onnx() {
  [ -e "$onnx_prefix/lib/cmake/ONNX/ONNXConfig.cmake" ] && return
  say "building the ONNX $onnx_version C++ library (once, a few minutes)"
  mkdir -p "$cache"
  local work
  work=$(mktemp -d "$cache/onnx-build.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  echo "onnx==$onnx_version --hash=sha256:$onnx_sha256" >"$work/source.txt"
  .venv/bin/python -m pip download -q --disable-pip-version-check --no-deps --no-binary onnx \
    --require-hashes -r "$work/source.txt" -d "$work"
  tar -xzf "$work/onnx-$onnx_version.tar.gz" -C "$work"
  # Debian 12 has CMake 3.25; nothing of 3.26 is used.
  sed -i 's/cmake_minimum_required(VERSION 3.26)/cmake_minimum_required(VERSION 3.25)/' \
    "$work/onnx-$onnx_version/CMakeLists.txt"
  build_onnx "$work" >"$work/log" 2>&1 || {
    tail -40 "$work/log" >&2
    die "the ONNX C++ library did not build"
  }
  # A rename is atomic: whoever sees the folder sees all of it.
  mv -T "$work/install" "$onnx_prefix" 2>/dev/null || [ -d "$onnx_prefix" ]
}

exec 9>"${TMPDIR:-/tmp}/attune-setup-$(id -u).lock"
if command -v flock >/dev/null; then flock 9; fi
install_apt
install_python
install_onnx
