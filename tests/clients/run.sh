#!/usr/bin/env bash
# Real S3 clients with default settings against a gateway of their own; with TIDEGATE_TEST_OVER=s3 (or own) over the
# buckets of another one. Arguments go to suite.py (--client, --scheme, --keep).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/setup.sh"
setup_clients
[ -n "${TIDEGATE_BUILT:-}" ] || cargo build --manifest-path "$here/../../Cargo.toml" --locked
"$TEST_PYTHON" -c 'import boto3; print("boto3", boto3.__version__)'
"$AWS_PROGRAM" --version
"$S3CMD_PROGRAM" --version
"$RCLONE_PROGRAM" version | sed -n 1p # not head: it closes the pipe early, and pipefail would make that a failure
node -p '"@aws-sdk/client-s3 " + require(process.env.JS_MODULES + "/node_modules/@aws-sdk/client-s3/package.json").version + ", node " + process.version'
exec "$TEST_PYTHON" "$here/suite.py" "$@"
