#!/bin/bash
# Writes the reference pages that the build knows: ops, passes, flags.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${ATTUNE_BUILD:-build}
target=docs/generated
mkdir -p "$target"

cp "$build/gen/attune/dialect/Attune.md" "$target/dialect.md"
{ echo; cat "$build/gen/attune/dialect/AttuneInterfaces.md"; } >>"$target/dialect.md"
cp "$build/gen/attune/passes/Passes.md" "$target/passes.md"
{
  echo "# Flags"
  for command in compile run check bench explain; do
    printf '\n## attune %s\n\n```\n' "$command"
    "$build/bin/attune" "$command" --help
    printf '```\n'
  done
} >"$target/flags.md"
sed -i -e 's/[[:space:]]*$//' "$target"/*.md
echo "$target: $(ls $target | tr '\n' ' ')"
