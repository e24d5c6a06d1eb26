#!/usr/bin/env bash
# Runs every check and prints one line per stage; exit code 0 only if all passed.
#   scripts/test.sh              the short form of every test
#   scripts/test.sh --nightly    the full figures as well
#   scripts/test.sh unit mypy    these stages only
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
select_tests="not nightly" scale=1 wanted=()
for argument in "$@"; do
  case $argument in
    --nightly) select_tests="" scale=10 ;;
    -*) echo "usage: scripts/test.sh [--nightly] [stage ...]" >&2; exit 2 ;;
    *) wanted+=("$argument") ;;
  esac
done

logs=build/test-logs
mkdir -p "$logs"
HPCSIM_CACHE_DIR=$(mktemp -d)
export HPCSIM_CACHE_DIR NUMBA_CACHE_DIR=$HPCSIM_CACHE_DIR/numba
trap 'rm -rf "$HPCSIM_CACHE_DIR"' EXIT
# Stages run in subshells too, so what they found is kept in files.
seen=$logs/seen failed=$logs/failed
: >"$seen"
: >"$failed"

chosen() { [[ $1 == setup || ${#wanted[@]} == 0 || " ${wanted[*]} " == *" $1 "* ]]; }

# stage NAME SECONDS COMMAND...: runs the command under a time limit; its output is shown only when it fails.
stage() {
  local name=$1 limit=$(($2 * scale)) log=$logs/$1.log start=$SECONDS rc=0 verdict counts
  shift 2
  chosen "$name" || return 0
  echo "$name" >>"$seen"
  timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null || rc=$?
  case $rc in
    0) verdict=passed ;;
    5) [[ $* == *pytest* ]] && verdict="no tests" || verdict="FAILED (5)" ;;
    124 | 137) verdict="FAILED (over ${limit} s)" ;;
    *) verdict="FAILED ($rc)" ;;
  esac
  counts=$(grep -aoE '[0-9]+ (passed|failed|error|skipped|deselected).* in [0-9.]+s' "$log" | tail -n 1)
  # In one write, because stages may run side by side.
  {
    if [[ $verdict == FAILED* ]]; then
      echo "$name" >>"$failed"
      tail -n 200 "$log" | tr -d '\000'
    fi
    printf '%-14s %-18s %4d s  %s\n' "$name" "$verdict" $((SECONDS - start)) "$counts"
  } >"$log.said"
  cat "$log.said"
}

# folder NAME: the tests of a folder, in one process.
folder() { [[ ! -d tests/$1 ]] || stage "$1" 900 "${pytest[@]}" "tests/$1"; }

stage setup 900 scripts/setup.sh
[[ ! -s $failed ]] || exit 1
. scripts/env.sh
pytest=(python -m pytest --color=no -p no:cacheprovider -m "$select_tests")
# Ranks may outnumber the cores here: no binding, and waiting ranks give way.
export OMPI_MCA_hwloc_base_binding_policy=none

stage ruff 60 ruff check .
stage mypy 300 mypy hpcsim

# Side by side: what depends neither on free cores nor on time.
folder unit &
(
  stage doctest 600 "${pytest[@]}" --doctest-modules hpcsim
  OMPI_MCA_rmaps_base_oversubscribe=1 folder convergence
) &
wait

for ranks in 1 2 3 4; do
  stage "parallel-$ranks" 400 env NUMBA_NUM_THREADS=1 mpirun --oversubscribe --tag-output -n "$ranks" \
    "${pytest[@]}" --with-mpi tests/parallel
done

export OMPI_MCA_rmaps_base_oversubscribe=1
for path in tests/*/; do
  name=$(basename "$path")
  case $name in unit | convergence | parallel | __pycache__) continue ;; esac
  folder "$name"
done

if [[ -s $failed ]]; then
  echo "$(wc -l <"$failed") of $(wc -l <"$seen") stages failed: $(tr '\n' ' ' <"$failed")"
  exit 1
fi
echo "all $(wc -l <"$seen") stages passed"
