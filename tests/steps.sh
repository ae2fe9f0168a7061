# Named steps for tests/run and .ci/run. Sourced, not run. A failed step doesn't stop the next one; `summary` names them all.

failed_steps=()

# step NAME COMMAND...
step() {
    local name=$1 begun=$SECONDS
    shift
    echo "==== $name"
    if "$@"; then
        echo "---- $name: passed in $((SECONDS - begun)) s"
    else
        echo "---- $name: FAILED after $((SECONDS - begun)) s"
        failed_steps+=("$name")
        return 1
    fi
}

# A step without which the others make no sense.
must() { step "$@" || summary "stopped"; }

# summary WHO: the last line, and the exit status.
summary() {
    if [ ${#failed_steps[@]} -eq 0 ]; then
        echo "$1: all steps passed in $SECONDS s"
        exit 0
    fi
    df -h . "${TMPDIR:-/tmp}" # a full disk fails suites in many ways
    local IFS=,
    echo "$1: FAILED: ${failed_steps[*]} ($SECONDS s)"
    exit 1
}
