#!/bin/sh
# Run every check and every test; called by `make test` after tools/bootstrap.sh.
#
# All steps run even when one fails, so that one run shows all that is wrong.
set -u

cd "$(dirname "$0")/.." || exit 1
bin=.venv/bin
# Hundreds of Python processes load the same modules: they are compiled once.
unset PYTHONDONTWRITEBYTECODE
report=
failed=0

step() { # name, command...
    name=$1
    shift
    printf '\n== %s\n' "$name"
    begun_s=$(date +%s)
    if "$@"; then result=ok; else result=FAILED failed=1; fi
    report="$report$(printf '  %-7s %5ss  %s' "$result" $(($(date +%s) - begun_s)) "$name")
"
}

docker_started=no
if ! tools/dockerd.sh status >/dev/null 2>&1; then
    tools/dockerd.sh start || exit 1
    docker_started=yes
    # A stack of a run that was cut off came up again with the daemon, and costs half the machine.
    docker ps -aq --filter name=^orchestry-test- | xargs -r docker rm -fv >/dev/null
fi
typed=$(mktemp)
unsteady=$(mktemp)
mypy=
finish() {
    [ -z "$mypy" ] || kill "$mypy" 2>/dev/null
    rm -f "$typed" "$unsteady"
    [ "$docker_started" = no ] || tools/dockerd.sh stop
}
trap finish EXIT
trap 'exit 130' INT TERM

tests() {
    $bin/python tools/run_tests.py "$unsteady" -q --durations 20 "$@"
}

step "ruff" $bin/ruff check .
step "import rules" $bin/lint-imports
# Two cores have room for three of them, since most wait for part of their time.
step "tests side by side" tests -n 3 tests --ignore tests/acceptance \
    --ignore tests/faults
# It keeps one core busy for a minute, while these tests mostly wait.
$bin/mypy >"$typed" 2>&1 &
mypy=$!
step "acceptance tests side by side" tests -n 3 --dist loadfile \
    --no-loadscope-reorder -m "beside and not long" tests/acceptance tests/faults
types() {
    wait "$mypy"
    set -- $?
    mypy=
    cat "$typed"
    return "$1"
}
step "mypy" types
step "acceptance and fault tests" tests -m "not beside and not long" tests/acceptance tests/faults

printf '\n%s' "$report"
if [ -s "$unsteady" ]; then
    printf '\nUnsteady, to be looked into:\n'
    cat "$unsteady"
fi
if [ $failed = 0 ]; then echo "All passed."; else echo "Something failed: see above."; fi
exit $failed
