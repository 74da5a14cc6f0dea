#!/bin/bash
# Writes the reference pages that the build knows: ops, passes, flags.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${ATTUNE_BUILD:-build}
target=docs/generated
mkdir -p "$target"

# A page per op; what all share stays in dialect.md.
rm -rf "$target/ops"
mkdir "$target/ops"
awk -v target="$target" '
  NR == 1 || /^## / { page = target "/dialect.md" }
  /^### `attune\./ {
    split($2, name, /[`.]/)
    page = target "/ops/" name[3] ".md"
    print "- [`attune." name[3] "`](ops/" name[3] ".md)" > (target "/dialect.md")
  }
  page ~ "/ops/" { sub(/^##/, "") }
  { print > page }
' "$build/gen/attune/dialect/Attune.md"
{ echo; cat "$build/gen/attune/dialect/AttuneInterfaces.md"; } >>"$target/dialect.md"
cp "$build/gen/attune/passes/Passes.md" "$target/passes.md"
{
  echo "# Flags"
  for command in compile run check bench cost profile calibrate explain inspect; do
    printf '\n## attune %s\n\n```\n' "$command"
    "$build/bin/attune" "$command" --help
    printf '```\n'
  done
  for command in "" space report export finalists build table; do
    printf '\n## attune search %s\n\n```\n' "$command"
    # shellcheck disable=SC2086
    "$build/bin/attune" search $command --help
    printf '```\n'
  done
} >"$target/flags.md"
# Takes its time, and needs the toolkit of CUDA.
if [ "${1:-}" != --check ] && [ -x .venv/bin/python ]; then
  ATTUNE_BUILD=$build .venv/bin/python test/gpu/machine_code.py -o "$target/gpu-kernels.md"
fi
sed -i -e 's/[[:space:]]*$//' "$target"/*.md "$target"/ops/*.md
echo "$target: $(ls "$target" "$target/ops" | tr '\n' ' ')"
