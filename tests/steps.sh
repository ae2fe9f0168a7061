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

# at_once NAME...: steps of these names, two at a time. What a step prints is shown when it has ended.
at_once() {
    local folder name running=() names=()
    folder=$(mktemp -d)
    for name in "$@"; do
        while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
        (
            step "$name" "$name" >"$folder/$name" 2>&1
            passed=$?
            exec 9>"$folder/.lock" && flock 9 && cat "$folder/$name"
            exit "$passed"
        ) &
        running+=($!) names+=("$name")
    done
    for name in "${!names[@]}"; do wait "${running[name]}" || failed_steps+=("${names[name]}"); done
    rm -rf "$folder"
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
