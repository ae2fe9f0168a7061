# The bucket that stands in for the gateway, on the public prefix alone.

resource "aws_s3_bucket" "fallback" {
  bucket_prefix = "${var.name}-fallback-"
}

resource "aws_s3_bucket_ownership_controls" "fallback" {
  bucket = aws_s3_bucket.fallback.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "fallback" {
  bucket                  = aws_s3_bucket.fallback.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_cloudfront_origin_access_control" "fallback" {
  name                              = "${var.name}-fallback"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

data "aws_iam_policy_document" "fallback" {
  statement {
    sid       = "PublicPrefixForThisDistribution"
    effect    = "Allow"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.fallback.arn}/${var.public_prefix}/*"]

    principals {
      type        = "Service"
      identifiers = ["cloudfront.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "AWS:SourceArn"
      values   = [aws_cloudfront_distribution.this.arn]
    }
  }
}

resource "aws_s3_bucket_policy" "fallback" {
  bucket = aws_s3_bucket.fallback.id
  policy = data.aws_iam_policy_document.fallback.json
}
