"""What a tenant's own server hands to a page, made by boto3: a form, or the URLs of an upload in parts. Called by uploads_suite.mjs.

    python presigned.py form '{"Bucket":…,"Key":…,"Fields":…,"Conditions":…}'
    python presigned.py parts BUCKET KEY COUNT
    python presigned.py complete BUCKET KEY UPLOAD_ID '["etag", …]'

Prints one line of JSON.
"""

import json
import os
import sys

import boto3
from botocore.config import Config

s3 = boto3.client(
    "s3", endpoint_url=os.environ["TEST_ENDPOINT"], region_name="us-east-1", aws_access_key_id=os.environ["TEST_KEY"],
    aws_secret_access_key=os.environ["TEST_SECRET"], config=Config(signature_version=os.environ.get("TEST_SIGNATURE", "s3v4"), s3={"addressing_style": "path"}),
)

what, *given = sys.argv[1:]
if what == "form":
    answer = s3.generate_presigned_post(**json.loads(given[0]), ExpiresIn=300)
elif what == "parts":
    bucket, key, count = given
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = {"Bucket": bucket, "Key": key, "UploadId": upload}
    urls = [s3.generate_presigned_url("upload_part", Params={**part, "PartNumber": n + 1}) for n in range(int(count))]
    answer = {"upload": upload, "urls": urls}
else:
    bucket, key, upload, etags = given
    parts = [{"PartNumber": n + 1, "ETag": etag} for n, etag in enumerate(json.loads(etags))]
    done = s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    answer = {"etag": done["ETag"]}
print(json.dumps(answer))
